//! Stories of outages, and of what only looks like one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Class, Direction, Door, Outcome, ProbeId, Stage, Text};
use uuid::Uuid;

use super::*;

/// 2026-11-24T11:00:00Z.
const START: i64 = 1_795_518_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).expect("in range")
}

/// What becomes of a probe in a story.
#[derive(Clone, Copy)]
enum Fate {
    Delivered,
    Lost,
    Late,
    NoGreeting,
    NoConnection,
    MailboxShut,
    OwnTrouble,
    SignInRefused,
    SignInHeld,
    HungUpAfterDot,
}

use Fate::{
    Delivered, HungUpAfterDot, Late, Lost, MailboxShut, NoConnection, NoGreeting, OwnTrouble, SignInHeld,
    SignInRefused,
};

fn sample(id: u128, started: i64, fate: Fate) -> Sample {
    let (outcome, stage, class, accepted, reason) = match fate {
        Delivered => (Outcome::Delivered, None, None, true, ""),
        Late => (Outcome::Late, Some(Stage::Transit), Some(Class::Quality), true, "arrived after 400 s"),
        Lost => (Outcome::Lost, Some(Stage::Transit), Some(Class::Missing), true, "not in the mailbox"),
        NoGreeting => (
            Outcome::Unreachable,
            Some(Stage::Greeting),
            Some(Class::Timeout),
            false,
            "no answer within 10.0 s",
        ),
        NoConnection => (
            Outcome::Unreachable,
            Some(Stage::Connect),
            Some(Class::Connect),
            false,
            "network is unreachable",
        ),
        MailboxShut => (Outcome::Unknown, Some(Stage::Login), Some(Class::Timeout), true, "no IMAP greeting"),
        SignInRefused => (Outcome::Refused, Some(Stage::Auth), Some(Class::Auth), false, "535 5.7.8 no"),
        SignInHeld => (Outcome::Unknown, Some(Stage::Auth), Some(Class::Auth), false, "held"),
        HungUpAfterDot => (Outcome::Unknown, Some(Stage::Data), Some(Class::Closed), false, "closed"),
        OwnTrouble => (Outcome::Unknown, Some(Stage::Data), Some(Class::Own), false, "restarted"),
    };
    Sample {
        probe: ProbeId(Uuid::from_u128(id)),
        started_at: at(started),
        outcome,
        stage,
        class,
        accepted,
        accepted_at: accepted.then(|| at(started + 1)),
        visible_at: outcome
            .has_arrived()
            .then(|| at(started + if outcome == Outcome::Late { 400 } else { 3 })),
        deferred_at: None,
        reason: reason.into(),
        peer: "mail.acme.example".into(),
        address: Text::default(),
        site: None,
    }
}

/// Three regions, each with an agent that has a loop, an inbound MX route and a control route.
struct World {
    facts: Facts,
    standing: Standing,
    rules: Config,
    probes: u128,
}

impl World {
    fn of(regions: &[&str]) -> Self {
        let agents = regions.iter().map(|region| AgentFacts {
            name: format!("{region}-1").parse().expect("a name"),
            region: region.parse().expect("a name"),
            heard_at: Some(at(0)),
            is_behind: false,
            clock_offset: SignedDuration::ZERO,
            complaints: Vec::new(),
            shut: Vec::new(),
            mailboxes: BTreeMap::from([("acme".parse().expect("a name"), 1)]),
            lanes: vec![
                lane("acme", "loop", Direction::Loop, Door::Submission),
                lane("acme", "in", Direction::Inbound, Door::Mx),
                lane("ref", "control", Direction::Control, Door::Submission),
            ],
            canaries: Vec::new(),
        });
        let facts = Facts {
            watching_since: at(-3_600),
            agents: agents.collect(),
            slow_mail: BTreeMap::new(),
            promises: BTreeMap::new(),
            filters: BTreeSet::new(),
        };
        Self { facts, standing: Standing::default(), rules: Config::default(), probes: 0 }
    }

    fn three() -> Self {
        Self::of(&["ap", "eu", "us"])
    }

    fn lane_of(&mut self, region: &str, route: &str) -> &mut Lane {
        let agent = self.facts.agents.iter_mut().find(|agent| agent.region.as_str() == region);
        let lanes = &mut agent.expect("the region").lanes;
        lanes.iter_mut().find(|lane| lane.route.as_str() == route).expect("the route")
    }

    /// A probe from one region, concluded.
    fn probe(&mut self, region: &str, route: &str, started: i64, fate: Fate) {
        self.probes += 1;
        let sample = sample(self.probes, started, fate);
        let samples = &mut self.lane_of(region, route).samples;
        samples.push(sample);
        samples.sort_by_key(|sample| std::cmp::Reverse((sample.started_at, sample.probe)));
    }

    /// The same from every region.
    fn everywhere(&mut self, route: &str, started: i64, fate: Fate) {
        for region in self.regions() {
            self.probe(&region, route, started, fate);
        }
    }

    fn regions(&self) -> Vec<String> {
        self.facts.agents.iter().map(|agent| agent.region.to_string()).collect()
    }

    /// Everybody is heard, everything is looked at, and what is decided stands from then on.
    fn look(&mut self, now: i64) -> Assessment {
        for agent in &mut self.facts.agents {
            agent.heard_at = Some(at(now));
        }
        self.look_only(now)
    }

    fn look_only(&mut self, now: i64) -> Assessment {
        self.facts.slow_mail = self.slow_mail();
        let assessment = evaluate(&self.facts, &self.standing, &self.rules, at(now));
        for decision in &assessment.decisions {
            match decision {
                Decision::Open(picture) => {
                    let stand = self.standing.subjects.entry(picture.subject.clone()).or_default();
                    stand.open = Some(OpenIncident {
                        id: picture.subject.leg.to_string(),
                        started_at: picture.started_at,
                        summary: picture.summary.clone(),
                        failing: picture.regions.failing.clone(),
                        accepting_at: None,
                        on_time_at: None,
                        blame: picture.blame.clone(),
                        failovers: Vec::new(),
                        overran: false,
                    });
                }
                Decision::Update { incident, picture } => {
                    let stand = self.standing.subjects.get_mut(&picture.subject).expect("it stands");
                    let open = stand.open.as_mut().expect("it is open");
                    assert_eq!(&open.id, incident);
                    open.summary.clone_from(&picture.summary);
                    open.failing.clone_from(&picture.regions.failing);
                }
                Decision::Resolve { subject, settled_until, .. } => {
                    let stand = self.standing.subjects.get_mut(subject).expect("it stands");
                    stand.open = None;
                    stand.settled_until = Some(*settled_until);
                }
            }
        }
        for course in &assessment.courses {
            if let Some(open) = self.standing.subjects.get_mut(&course.subject).and_then(|s| s.open.as_mut())
            {
                (open.accepting_at, open.on_time_at) = (course.accepting_at, course.on_time_at);
            }
        }
        assessment
    }

    /// As the store would tell it.
    fn slow_mail(&self) -> BTreeMap<Subject, Vec<Mail>> {
        let open = self.standing.subjects.iter().filter_map(|(s, stand)| Some((s, stand.open.as_ref()?)));
        let of = |(subject, open): (&Subject, &OpenIncident)| {
            let lanes = self.facts.agents.iter().flat_map(|agent| &agent.lanes);
            let lanes = lanes.filter(|lane| lane.service == subject.service);
            let lanes = lanes.filter(|lane| match subject.leg {
                Leg::Send => lane.direction == Direction::Outbound,
                _ => matches!(lane.direction, Direction::Inbound | Direction::Loop),
            });
            let samples = lanes.flat_map(|lane| lane.samples.iter().chain(&lane.under_way));
            let slow = samples.filter(|s| s.accepted && s.started_at >= open.started_at);
            let slow = slow.filter(|s| s.outcome != Outcome::Delivered);
            let mail = slow.map(|s| Mail {
                started_at: s.started_at,
                accepted_at: s.accepted_at.expect("accepted"),
                visible_at: s.visible_at,
            });
            (subject.clone(), mail.collect())
        };
        open.map(of).collect()
    }

    fn assert_quiet(&mut self, now: i64) {
        let decisions = self.look(now).decisions;
        assert!(decisions.is_empty(), "{decisions:#?}");
    }
}

fn lane(service: &str, route: &str, direction: Direction, door: Door) -> Lane {
    Lane {
        service: service.parse().expect("a name"),
        route: route.parse().expect("a name"),
        direction,
        door,
        interval: SignedDuration::from_secs(60),
        deadline: SignedDuration::from_mins(5),
        reference: None,
        to: None,
        samples: Vec::new(),
        under_way: Vec::new(),
    }
}

fn opened(assessment: &Assessment) -> Vec<&Picture> {
    let open = assessment.decisions.iter().filter_map(|decision| match decision {
        Decision::Open(picture) => Some(picture),
        _ => None,
    });
    open.collect()
}

fn resolved(assessment: &Assessment) -> Vec<(Leg, Reason)> {
    let resolved = assessment.decisions.iter().filter_map(|decision| match decision {
        Decision::Resolve { subject, reason, .. } => Some((subject.leg, *reason)),
        _ => None,
    });
    resolved.collect()
}

#[test]
fn lost_mail_from_everywhere_opens_receiving_back_dated_to_the_first_loss() {
    let mut world = World::three();
    world.everywhere("loop", -60, Delivered);
    world.everywhere("in", -60, Delivered);
    for started in [7, 67] {
        world.everywhere("in", started, Lost);
        world.everywhere("loop", started + 1, Lost);
        world.everywhere("control", started, Delivered);
    }
    let assessment = world.look(370);
    let [picture] = opened(&assessment)[..] else { panic!("one incident: {assessment:#?}") };
    assert_eq!(picture.subject.leg, Leg::Receive);
    assert_eq!(picture.started_at, at(7));
    assert_eq!(picture.reason, Reason::QuorumFailing);
    assert_eq!(
        picture.summary,
        "Receiving at acme fails in 3 of 3 regions since 11:00:07 UTC: 12 of 12 probes accepted but not \
         delivered (lost). Control routes pass in all regions. To blame: the delivery of acme."
    );
    assert_eq!(picture.evidence.outcomes, BTreeMap::from([("lost".into(), 12)]));
    assert_eq!(picture.evidence.samples.len(), EvidenceSummary::MAX_SAMPLES);
    world.assert_quiet(371);
}

#[test]
fn a_silent_submission_server_opens_sending_and_says_at_which_stage() {
    let mut world = World::three();
    for started in [7, 17] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("in", started, Delivered);
        world.everywhere("control", started, Delivered);
    }
    let assessment = world.look(30);
    let [picture] = opened(&assessment)[..] else { panic!("one incident: {assessment:#?}") };
    assert_eq!(
        picture.summary,
        "Sending through acme fails at stage greeting (timeout) in 3 of 3 regions since 11:00:07 UTC: no answer \
         within 10.0 s [mail.acme.example]. 6 of 6 probes failed. Control routes pass in all regions. \
         To blame: the submission of acme."
    );
    assert_eq!(picture.evidence.causes, BTreeMap::from([("greeting/timeout".into(), 6)]));
}

#[test]
fn one_failure_each_is_not_yet_an_incident() {
    let mut world = World::three();
    world.everywhere("loop", 0, NoGreeting);
    world.everywhere("in", 0, Delivered);
    world.assert_quiet(20);
}

#[test]
fn one_region_that_is_cut_off_is_a_finding_and_no_page() {
    let mut world = World::three();
    for started in [0, 60, 120] {
        for route in ["loop", "in", "control"] {
            world.probe("eu", route, started, NoConnection);
            world.probe("us", route, started, Delivered);
            world.probe("ap", route, started, Delivered);
        }
    }
    let assessment = world.look(130);
    assert_eq!(assessment.decisions, []);
    let [finding] = &assessment.findings[..] else { panic!("{:#?}", assessment.findings) };
    assert_eq!((finding.kind, &*finding.subject), (FindingKind::AgentCutOff, "eu-1"));
    assert!(finding.words.contains("is cut off") && finding.words.contains("connect"), "{}", finding.words);
}

#[test]
fn without_control_routes_an_agent_that_reaches_nobody_is_cut_off_while_others_do() {
    let mut world = World::of(&["eu", "us"]);
    for agent in &mut world.facts.agents {
        agent.lanes.retain(|lane| lane.direction != Direction::Control);
    }
    for started in [0, 60, 120] {
        for route in ["loop", "in"] {
            world.probe("eu", route, started, NoConnection);
            world.probe("us", route, started, Delivered);
        }
    }
    let assessment = world.look(130);
    assert_eq!(assessment.decisions, []);
    assert_eq!(assessment.findings[0].kind, FindingKind::AgentCutOff);
    for started in [180, 240] {
        world.everywhere("loop", started, NoConnection);
        world.everywhere("in", started, NoConnection);
    }
    let legs: Vec<Leg> = opened(&world.look(250)).iter().map(|picture| picture.subject.leg).collect();
    assert_eq!(legs, [Leg::Send, Leg::Receive], "when nobody reaches it, it is the service");
}

#[test]
fn a_lone_agent_that_reaches_nobody_blames_the_monitoring_and_not_the_service() {
    let mut world = World::of(&["eu"]);
    for started in [0, 60] {
        for route in ["loop", "in", "control"] {
            world.everywhere(route, started, NoConnection);
        }
    }
    world.everywhere("loop", 120, NoConnection);
    let assessment = world.look(130);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert_eq!((picture.subject.leg, picture.reason), (Leg::Monitoring, Reason::NobodySees));
    assert!(picture.summary.contains("eu-1 (eu) is cut off"), "{}", picture.summary);
}

#[test]
fn a_first_unreached_control_probe_makes_a_lone_agent_wait_for_the_second() {
    let mut world = World::of(&["eu"]);
    for started in [0, 10, 20] {
        world.everywhere("loop", started, NoConnection);
    }
    world.everywhere("in", 0, Delivered);
    world.everywhere("control", 25, NoConnection);
    world.assert_quiet(30);
    world.everywhere("control", 35, Delivered);
    assert_eq!(
        opened(&world.look(40))[0].subject.leg,
        Leg::Send,
        "the control route passes: it is the service"
    );
}

#[test]
fn a_minority_of_regions_pages_nobody_and_a_majority_does() {
    let mut world = World::three();
    for started in [0, 60, 120] {
        world.everywhere("control", started, Delivered);
        world.probe("eu", "loop", started, NoGreeting);
        world.probe("us", "loop", started, Delivered);
        world.probe("ap", "loop", started, Delivered);
    }
    world.assert_quiet(130);
    for started in [180, 240] {
        world.probe("us", "loop", started, NoGreeting);
    }
    let assessment = world.look(250);
    let picture = opened(&assessment)[0];
    let names = |regions: &[Region]| regions.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&picture.regions.failing), ["eu", "us"]);
    assert_eq!(names(&picture.regions.passing), ["ap"]);
}

#[test]
fn trouble_of_a_reference_provider_pages_nobody() {
    let mut world = World::three();
    for agent in &mut world.facts.agents {
        agent.lanes.push(lane("acme", "out", Direction::Outbound, Door::Submission));
        agent.lanes.push(lane("acme", "from-ref", Direction::Inbound, Door::Submission));
    }
    for started in [0, 60, 120] {
        world.everywhere("loop", started, Delivered);
        world.everywhere("in", started, Delivered);
        world.everywhere("from-ref", started, NoGreeting);
        world.everywhere("out", started, MailboxShut);
        world.everywhere("control", started, NoGreeting);
    }
    let assessment = world.look(130);
    assert_eq!(assessment.decisions, []);
    assert_eq!(assessment.findings[0].kind, FindingKind::ReferenceTrouble);
}

#[test]
fn an_agents_own_trouble_speaks_for_nobody() {
    let mut world = World::three();
    for started in [0, 60, 120, 180] {
        world.everywhere("loop", started, OwnTrouble);
        world.everywhere("in", started, OwnTrouble);
    }
    world.assert_quiet(200);
}

#[test]
fn it_is_over_after_three_successes_from_two_regions_and_any_failure_resets() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("in", started, Delivered);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(70)).len(), 1);
    for started in [120, 130, 140] {
        world.probe("eu", "loop", started, Delivered);
    }
    assert_eq!(resolved(&world.look(150)), [], "one region is not enough");
    world.probe("us", "loop", 160, NoGreeting);
    world.probe("us", "loop", 170, Delivered);
    world.probe("eu", "loop", 171, Delivered);
    assert_eq!(resolved(&world.look(175)), [], "a failure counts all successes before it for nothing");
    world.probe("ap", "loop", 180, Delivered);
    assert_eq!(resolved(&world.look(185)), [(Leg::Send, Reason::Recovered)]);
    world.assert_quiet(186);
}

#[test]
fn a_lone_region_is_enough_where_there_is_no_other() {
    let mut world = World::of(&["eu"]);
    for started in [0, 60, 120] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(130)).len(), 1);
    for started in [180, 190, 200] {
        world.everywhere("loop", started, Delivered);
    }
    assert_eq!(resolved(&world.look(210)), [(Leg::Send, Reason::Recovered)]);
}

#[test]
fn verdicts_on_probes_from_before_the_recovery_reopen_nothing() {
    let mut world = World::three();
    world.rules.drain_grace = Some(Duration::from_secs(60));
    for started in [0, 60] {
        world.everywhere("in", started, Lost);
        world.everywhere("loop", started, Lost);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(370)).len(), 1);
    for started in [300, 310, 320] {
        world.everywhere("in", started, Delivered);
        world.everywhere("loop", started, Delivered);
    }
    assert_eq!(resolved(&world.look(375)), [(Leg::Receive, Reason::Recovered)]);
    for started in [120, 180, 240, 290] {
        world.everywhere("in", started, Lost);
        world.everywhere("loop", started, Late);
    }
    world.assert_quiet(620);
    for started in [600, 610] {
        world.everywhere("in", started, Lost);
        world.everywhere("loop", started, Lost);
    }
    assert_eq!(opened(&world.look(930))[0].started_at, at(600), "a new outage is a new incident");
}

#[test]
fn a_lost_probe_that_turns_out_late_changes_no_order() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("in", started, Lost);
        world.everywhere("loop", started, Lost);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(370)).len(), 1);
    for started in [300, 310, 320] {
        world.everywhere("in", started, Delivered);
        world.everywhere("loop", started, Delivered);
    }
    assert_eq!(resolved(&world.look(330)), [], "what was accepted is still missing");
    for agent in &mut world.facts.agents {
        for sample in agent.lanes.iter_mut().flat_map(|lane| &mut lane.samples) {
            if sample.outcome == Outcome::Lost {
                (sample.outcome, sample.visible_at) = (Outcome::Late, Some(at(350)));
            }
        }
    }
    assert_eq!(resolved(&world.look(380)), [(Leg::Receive, Reason::Recovered)]);
    world.assert_quiet(381);
}

#[test]
fn a_shut_mailbox_is_said_to_be_out_of_reach_and_never_lost_mail() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, MailboxShut);
        world.everywhere("in", started, MailboxShut);
        world.everywhere("control", started, Delivered);
    }
    let assessment = world.look(370);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert_eq!((picture.subject.leg, picture.reason), (Leg::Receive, Reason::MailboxOutOfReach));
    assert!(picture.summary.contains("its mailbox is out of reach"), "{}", picture.summary);
    assert!(
        picture.summary.contains("not known") && !picture.summary.contains("lost"),
        "{}",
        picture.summary
    );
}

#[test]
fn heartbeats_that_cannot_look_page_before_any_deadline_passes() {
    let mut world = World::three();
    world.everywhere("in", -60, Delivered);
    world.everywhere("control", -60, Delivered);
    let shut = ShutMailbox {
        account: "monitor".parse().expect("a name"),
        service: "acme".parse().expect("a name"),
        since: at(5),
        trouble: Some((Stage::Login, Class::Timeout, "no greeting within 10.0 s".into())),
    };
    for agent in &mut world.facts.agents {
        agent.shut.push(shut.clone());
    }
    world.assert_quiet(20);
    let assessment = world.look(26);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert_eq!(picture.started_at, at(5));
    assert_eq!(
        picture.summary,
        "Receiving at acme cannot be seen in 3 of 3 regions since 11:00:05 UTC: its mailbox is out of reach at \
         stage login (timeout): no greeting within 10.0 s. Whether mail arrives is not known. Control routes \
         pass in all regions. To blame: the IMAP of acme."
    );
    for started in [30, 31, 32] {
        world.everywhere("in", started, Delivered);
    }
    assert_eq!(resolved(&world.look(40)), [], "not while it is still shut");
    for agent in &mut world.facts.agents {
        agent.shut.clear();
    }
    assert_eq!(resolved(&world.look(50)), [(Leg::Receive, Reason::Recovered)]);
}

#[test]
fn a_reference_mailbox_that_is_shut_says_nothing_of_the_service() {
    let mut world = World::three();
    for agent in &mut world.facts.agents {
        agent.shut.push(ShutMailbox {
            account: "far".parse().expect("a name"),
            service: "ref".parse().expect("a name"),
            since: at(0),
            trouble: None,
        });
    }
    world.assert_quiet(600);
}

#[test]
fn a_silent_agent_is_left_out_and_when_all_are_silent_that_pages() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, Delivered);
    }
    world.assert_quiet(70);
    world.facts.agents[0].heard_at = Some(at(40));
    let assessment = world.look_only(80);
    assert_eq!(assessment.decisions, []);
    assert_eq!(assessment.findings[0].kind, FindingKind::AgentSilent);
    assert!(assessment.findings[0].words.contains("ap-1"), "{:?}", assessment.findings);
    let assessment = world.look_only(101);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert_eq!((picture.subject.leg, picture.started_at), (Leg::Monitoring, at(70)));
    let resolved = resolved(&world.look(120));
    assert_eq!(resolved, [(Leg::Monitoring, Reason::SomebodySees)]);
}

#[test]
fn a_collector_that_was_down_blames_no_agent_for_the_silence() {
    let mut world = World::three();
    world.facts.watching_since = at(7_200);
    assert_eq!(world.look_only(7_210).decisions, [], "nobody can have been heard yet");
    assert_eq!(opened(&world.look_only(7_231)).len(), 1, "but from then on they can");
}

#[test]
fn an_agent_heard_in_the_future_is_silent_all_the_same() {
    let mut world = World::of(&["eu"]);
    world.facts.agents[0].heard_at = Some(at(3_600));
    world.facts.watching_since = at(0);
    assert_eq!(opened(&world.look_only(31))[0].subject.leg, Leg::Monitoring);
}

#[test]
fn an_outage_long_ago_says_nothing_of_the_present() {
    let mut world = World::three();
    for started in [-7_200, -7_140, -7_080] {
        world.everywhere("loop", started, NoGreeting);
    }
    world.assert_quiet(0);
}

#[test]
fn an_incident_of_a_leg_that_nobody_watches_any_more_does_not_stay_open() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(70)).len(), 1);
    for agent in &mut world.facts.agents {
        agent.lanes.retain(|lane| lane.service.as_str() != "acme");
    }
    assert_eq!(resolved(&world.look(80)), [(Leg::Send, Reason::NoLongerWatched)]);
}

#[test]
fn a_region_out_of_sight_is_out_of_the_count_and_the_page_says_so() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    for agent in &mut world.facts.agents[1..] {
        agent.heard_at = Some(at(70));
    }
    let assessment = world.look_only(70);
    let picture = opened(&assessment)[0];
    assert!(picture.summary.contains("in 2 of 2 regions"), "{}", picture.summary);
    assert!(
        picture.summary.ends_with("Left out, since it cannot be believed now: ap."),
        "{}",
        picture.summary
    );
}

#[test]
fn those_who_saw_it_fail_and_fell_silent_are_missed_before_it_is_over() {
    let mut world = World::three();
    for started in [-120, -60, 0] {
        world.probe("ap", "loop", started, Delivered);
        world.probe("ap", "in", started, Delivered);
    }
    for started in [0, 60] {
        world.probe("eu", "loop", started, NoGreeting);
        world.probe("us", "loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(70)).len(), 1);
    for started in [80, 90, 100] {
        world.probe("ap", "loop", started, Delivered);
    }
    for agent in &mut world.facts.agents {
        agent.heard_at = Some(at(if agent.region.as_str() == "ap" { 150 } else { 100 }));
    }
    assert_eq!(resolved(&world.look_only(150)), [], "who is left never saw it fail");
    world.probe("eu", "loop", 140, Delivered);
    world.probe("us", "loop", 141, Delivered);
    assert_eq!(resolved(&world.look(160)), [(Leg::Send, Reason::Recovered)]);
}

/// Two of three regions see sending fail, and an incident is open. Then all is well where `ap` looks.
fn hit_in_eu_and_us() -> World {
    let mut world = World::three();
    for started in [0, 60] {
        world.probe("ap", "loop", started, Delivered);
        world.probe("eu", "loop", started, NoGreeting);
        world.probe("us", "loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    let assessment = world.look(70);
    assert_eq!(opened(&assessment)[0].regions.failing.len(), 2);
    for started in [80, 90, 100] {
        world.probe("ap", "loop", started, Delivered);
    }
    world
}

#[test]
fn those_who_saw_it_fail_and_were_taken_away_keep_no_incident_open() {
    let mut world = hit_in_eu_and_us();
    world.facts.agents.retain(|agent| agent.region.as_str() != "eu");
    assert_eq!(resolved(&world.look(110)), [], "one of them is still there, and has seen nothing good");
    world.facts.agents.retain(|agent| agent.region.as_str() == "ap");
    assert_eq!(resolved(&world.look(120)), [(Leg::Send, Reason::Recovered)]);
}

#[test]
fn those_who_saw_it_fail_and_have_no_route_for_it_any_more_keep_no_incident_open() {
    let mut world = hit_in_eu_and_us();
    for agent in world.facts.agents.iter_mut().filter(|agent| agent.region.as_str() != "ap") {
        agent.lanes.retain(|lane| lane.direction != Direction::Loop);
    }
    let assessment = world.look(110);
    assert_eq!(resolved(&assessment), [(Leg::Send, Reason::Recovered)]);
    let [Decision::Resolve { regions, .. }] = &assessment.decisions[..] else { panic!("{assessment:#?}") };
    let only_ap = Regions { passing: vec!["ap".parse().expect("a name")], ..Regions::default() };
    assert_eq!(*regions, only_ap, "the page says who sees it now");
}

#[test]
fn a_dead_agents_last_good_control_probe_accuses_nobody() {
    let mut world = World::of(&["eu", "us"]);
    for started in [0, 60] {
        world.probe("us", "control", started, Delivered);
        world.probe("eu", "control", started, NoGreeting);
        world.probe("eu", "loop", started, Delivered);
        world.probe("eu", "in", started, Delivered);
    }
    for agent in &mut world.facts.agents {
        agent.heard_at = Some(at(if agent.region.as_str() == "eu" { 120 } else { 60 }));
    }
    let assessment = world.look_only(120);
    assert_eq!(assessment.decisions, [], "one sees; the other is silent, and its past proves nothing now");
}

#[test]
fn a_route_that_works_hides_none_that_does_not() {
    // Only mail from outside is lost; the loop, whose verdicts are newer by a deadline, delivers.
    let mut world = World::three();
    for started in [0, 60, 120] {
        world.everywhere("in", started, Lost);
        world.everywhere("control", started, Delivered);
    }
    for started in [30, 90, 150, 210, 270, 330, 390] {
        world.everywhere("loop", started, Delivered);
    }
    let assessment = world.look(430);
    assert_eq!(opened(&assessment)[0].subject.leg, Leg::Receive);
    assert_eq!(opened(&assessment)[0].started_at, at(0));
    // The loop goes on delivering between two failures of the other: that is no recovery.
    for started in [440, 441, 442] {
        world.everywhere("loop", started, Delivered);
    }
    assert_eq!(resolved(&world.look(450)), []);
    for started in [460, 461, 462] {
        world.everywhere("in", started, Delivered);
    }
    assert_eq!(resolved(&world.look(470)), [], "nine are missing, and may still come");
    let assessment = world.look(460 + 601);
    assert_eq!(resolved(&assessment), [(Leg::Receive, Reason::Recovered)], "twice the deadline later");
    let Decision::Resolve { summary, .. } = &assessment.decisions[0] else { panic!("{assessment:#?}") };
    assert!(summary.ends_with("9 accepted messages did not arrive and are given up as lost."), "{summary}");
}

/// Eleven o'clock to the last message: accepted again, on time again, drained.
#[test]
fn three_clocks_and_the_end_at_the_third() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("in", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(70)).len(), 1);
    let clocks = |world: &World| {
        let open = world.standing.subjects.values().find_map(|stand| stand.open.clone()).expect("open");
        (open.accepting_at, open.on_time_at)
    };
    assert_eq!(clocks(&world), (None, None));
    // It takes mail again, and lets it lie.
    for started in [120, 180] {
        world.everywhere("in", started, Lost);
    }
    world.look(490);
    assert_eq!(clocks(&world), (Some(at(121)), None));
    for started in [500, 560] {
        world.everywhere("in", started, Delivered);
    }
    let assessment = world.look(570);
    assert_eq!((clocks(&world).1, resolved(&assessment)), (Some(at(500)), vec![]));
    assert_eq!(assessment.courses[0].backlog.missing, 6);
    // A single failure on the way does not move what is known; the last arrival ends it.
    world.probe("eu", "in", 620, NoGreeting);
    world.everywhere("in", 630, Delivered);
    for sample in world.facts.agents.iter_mut().flat_map(|agent| &mut agent.lanes[1].samples) {
        if sample.outcome == Outcome::Lost {
            (sample.outcome, sample.visible_at) = (Outcome::Late, Some(at(640)));
        }
    }
    let assessment = world.look(650);
    assert_eq!(resolved(&assessment), [(Leg::Receive, Reason::Recovered)]);
    let course = &assessment.courses[0];
    assert_eq!((course.on_time_at, course.drained_at), (Some(at(500)), Some(at(640))));
    let Decision::Resolve { summary, .. } = &assessment.decisions[0] else { panic!("{assessment:#?}") };
    assert!(summary.ends_with("All 6 delayed messages have arrived, the last at 11:10:40 UTC."), "{summary}");
}

#[test]
fn a_promise_that_passes_is_told_once_and_not_if_it_is_kept() {
    let mut world = World::three();
    world.facts.promises.insert("acme".parse().expect("a name"), SignedDuration::from_mins(30));
    for started in [0, 60] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    assert_eq!(opened(&world.look(70)).len(), 1);
    for started in [600, 1_200, 1_790] {
        world.everywhere("loop", started, NoGreeting);
    }
    assert_eq!(world.look(1_799).courses[0].overran_at, None);
    assert_eq!(
        world.look(1_801).courses[0].overran_at,
        Some(at(1_800)),
        "half an hour after the first failure"
    );
    let open = world.standing.subjects.values_mut().find_map(|stand| stand.open.as_mut()).expect("open");
    open.overran = true;
    assert_eq!(world.look(1_802).courses[0].overran_at, None, "said once");
}

#[test]
fn one_dead_mx_host_among_others_is_a_finding_and_all_of_them_are_an_outage() {
    let mut world = World::three();
    let host = |world: &mut World, started: i64, number: u32, fate: Fate| {
        for region in world.regions() {
            world.probe(&region, "in", started, fate);
            let sample = &mut world.lane_of(&region, "in").samples[0];
            (sample.peer, sample.address) =
                (format!("mx{number}.acme.example").into(), format!("192.0.2.{number}").into());
        }
        world.everywhere("control", started, Delivered);
    };
    for started in [0, 120, 240] {
        host(&mut world, started, 1, NoConnection);
        host(&mut world, started + 60, 2, Delivered);
        world.assert_quiet(started + 70);
    }
    let findings = world.look(320).findings;
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((finding.kind, &*finding.subject), (FindingKind::MxHostDead, "mx1.acme.example[192.0.2.1]"));
    host(&mut world, 360, 1, NoConnection);
    host(&mut world, 420, 2, NoConnection);
    let assessment = world.look(430);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert!(
        picture.summary.contains(
            "To blame: MX host mx1.acme.example[192.0.2.1] or MX host mx2.acme.example[192.0.2.2]."
        ),
        "{}",
        picture.summary
    );
    assert_eq!(assessment.findings, [], "it is not one among others any more");
}

/// What is said of the one at the pager at 3 a.m., word for word.
#[test]
fn the_reasoning_is_a_sentence() {
    let mut world = World::three();
    for started in [7, 67] {
        world.everywhere("in", started, Lost);
        world.everywhere("loop", started + 1, Lost);
        world.everywhere("control", started, Delivered);
    }
    let assessment = world.look(370);
    let blame = opened(&assessment)[0].blame.clone().expect("it can be told");
    assert_eq!(
        blame.words,
        "12 of 12 probes from 3 regions accepted but not delivered since 11:00:07 UTC; the reference \
         mailboxes and all agents pass their control routes: the delivery of acme is to blame."
    );
    assert_eq!(blame.suspects.iter().map(ToString::to_string).collect::<Vec<_>>(), ["delivery acme"]);
}

#[test]
fn overdue_probes_page_before_any_deadline_and_one_slow_message_does_not() {
    let mut world = World::three();
    for started in [-300, -240, -180, -120, -60] {
        world.everywhere("in", started, Delivered);
        world.everywhere("control", started, Delivered);
    }
    let under_way = |world: &mut World, region: &str, started: i64| {
        world.probes += 1;
        let accepted = Sample {
            outcome: Outcome::InFlight,
            visible_at: None,
            ..sample(world.probes, started, Delivered)
        };
        world.lane_of(region, "in").under_way.insert(0, accepted);
    };
    under_way(&mut world, "eu", 0);
    assert!(world.look(5).asked.is_empty(), "as usual so far");
    let asked = world.look(8).asked;
    let routes: Vec<usize> = asked.values().map(BTreeSet::len).collect();
    assert_eq!(
        routes,
        [3, 3, 3],
        "doubtful: a second view from everywhere, and the control routes: {asked:?}"
    );
    for started in [9, 14] {
        for region in world.regions() {
            under_way(&mut world, &region, started);
        }
    }
    world.assert_quiet(20);
    let assessment = world.look(31);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert!(picture.summary.contains("accepted but not delivered (overdue)"), "{}", picture.summary);
    assert_eq!(picture.started_at, at(0));
}

#[test]
fn what_comes_and_goes_is_held_open() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, NoGreeting);
        world.everywhere("control", started, Delivered);
    }
    let send = Subject { service: "acme".parse().expect("a name"), leg: Leg::Send };
    world.standing.subjects.entry(send.clone()).or_default().changes = 5;
    assert!(opened(&world.look(70))[0].summary.contains("comes and goes (5 changes"), "and the page says it");
    for started in [80, 90, 100] {
        world.everywhere("loop", started, Delivered);
    }
    assert_eq!(resolved(&world.look(110)), []);
    world.standing.subjects.get_mut(&send).expect("it stands").changes = 4;
    assert_eq!(resolved(&world.look(120)), [(Leg::Send, Reason::Recovered)]);
}

#[test]
fn a_password_that_is_refused_pages_though_it_is_not_tried_again_and_again() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, Delivered);
        world.everywhere("in", started, Delivered);
        world.everywhere("control", started, Delivered);
    }
    world.everywhere("loop", 120, SignInRefused);
    assert!(opened(&world.look(121)).is_empty(), "one refusal each is not yet an incident");
    world.everywhere("loop", 180, SignInHeld);
    let assessment = world.look(181);
    assert_eq!(opened(&assessment)[0].subject.leg, Leg::Send);
    assert!(opened(&assessment)[0].summary.contains("auth"), "{}", opened(&assessment)[0].summary);
}

#[test]
fn what_a_reference_loses_is_not_held_against_the_service_even_when_it_is_back() {
    let mut world = World::three();
    for agent in &mut world.facts.agents {
        agent.lanes.push(lane("acme", "out", Direction::Outbound, Door::Submission));
    }
    for started in [0, 60, 120] {
        world.everywhere("out", started, Lost);
        world.everywhere("control", started + 10, Lost);
        world.everywhere("loop", started, Delivered);
        world.everywhere("in", started, Delivered);
    }
    world.assert_quiet(450);
    // It comes back, and one region sees that first.
    world.probe("eu", "control", 190, Delivered);
    world.assert_quiet(451);
    world.probe("us", "control", 195, Delivered);
    world.probe("ap", "control", 200, Delivered);
    world.assert_quiet(452);
    // What is lost from now on is the service's doing.
    for started in [400, 460] {
        world.everywhere("out", started, Lost);
        world.everywhere("control", started + 10, Delivered);
    }
    let assessment = world.look(770);
    assert_eq!(opened(&assessment)[0].subject.leg, Leg::Send);
    assert_eq!(opened(&assessment)[0].started_at, at(400));
}

#[test]
fn what_is_amiss_with_agents_and_references_is_told_and_pages_nobody() {
    let mut world = World::three();
    for started in [0, 60] {
        world.everywhere("loop", started, Delivered);
        world.everywhere("in", started, Delivered);
        world.everywhere("control", started, Delivered);
    }
    world.probe("eu", "control", 400, Delivered);
    let words: Text = "the disk is full".into();
    world.facts.agents[0].complaints.push((at(10), "ledger".into(), words));
    world.facts.agents[2].clock_offset = SignedDuration::from_secs(-90);
    for agent in &mut world.facts.agents {
        agent.shut.push(ShutMailbox {
            account: "far".parse().expect("a name"),
            service: "ref".parse().expect("a name"),
            since: at(380),
            trouble: Some((Stage::Login, Class::Timeout, "no greeting".into())),
        });
    }
    for region in ["ap", "us"] {
        for route in ["loop", "in", "control"] {
            world.probe(region, route, 400, Delivered);
        }
    }
    let assessment = world.look(410);
    assert_eq!(assessment.decisions, []);
    let told = |kind| assessment.findings.iter().filter(|finding| finding.kind == kind).collect::<Vec<_>>();
    let [complaint] = told(FindingKind::AgentComplaint)[..] else { panic!("{assessment:#?}") };
    assert_eq!((complaint.since, complaint.subject.as_str()), (at(10), "ap-1"));
    assert!(complaint.words.contains("(ledger): the disk is full"), "{}", complaint.words);
    let [clock] = told(FindingKind::ClockOffset)[..] else { panic!("{assessment:#?}") };
    assert!(clock.words.contains("us-1 (us) is 1 min 30 s ahead of the collector's"), "{}", clock.words);
    let [mailbox] = told(FindingKind::ReferenceMailbox)[..] else { panic!("{assessment:#?}") };
    assert!(mailbox.words.contains("far at ref is out of reach for ap-1, eu-1, us-1"), "{}", mailbox.words);
    let missed: Vec<&str> =
        told(FindingKind::ProbesMissed).iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(missed, ["eu-1/loop", "eu-1/in"], "it speaks, and does not probe");
}

/// Mail from outside goes by a reference only, and is swallowed; loops arrive.
fn swallowed_on_its_way_from_a_reference(control: Option<&str>) -> World {
    let mut world = World::three();
    for region in world.regions() {
        let way_in = world.lane_of(&region, "in");
        (way_in.door, way_in.reference) = (Door::Submission, Some("ref".parse().expect("a name")));
        if let Some(other) = control {
            let lane = world.lane_of(&region, "control");
            (lane.service, lane.reference) =
                (other.parse().expect("a name"), Some("ref".parse().expect("a name")));
        }
    }
    for started in [0, 60] {
        world.everywhere("loop", started, Delivered);
        world.everywhere("in", started, Lost);
        world.everywhere("control", started + 10, Delivered);
    }
    world
}

#[test]
fn whether_a_reference_cannot_send_or_the_service_swallows_is_left_open_where_no_route_tells() {
    let assessment = swallowed_on_its_way_from_a_reference(None).look(400);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    let blame = picture.blame.as_ref().expect("somebody is");
    assert!(blame.undecided, "{blame:#?}");
    let named: Vec<String> = blame.suspects.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["delivery ref to others", "delivery acme from outside"]);
    assert!(blame.words.contains("no route tells the service from the reference"), "{}", blame.words);
}

#[test]
fn a_reference_that_is_seen_to_send_elsewhere_leaves_the_service_to_blame() {
    let assessment = swallowed_on_its_way_from_a_reference(Some("other")).look(400);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    let blame = picture.blame.as_ref().expect("somebody is");
    let named: Vec<String> = blame.suspects.iter().map(ToString::to_string).collect();
    assert_eq!((named, blame.undecided), (vec!["delivery acme from outside".to_owned()], false));
}

#[test]
fn a_server_that_hangs_up_on_every_whole_message_is_out_once_they_are_overdue() {
    let mut world = World::three();
    for started in [0, 60, 120] {
        world.everywhere("loop", started, Delivered);
        world.everywhere("in", started, HungUpAfterDot);
        world.everywhere("control", started, Delivered);
    }
    world.assert_quiet(200);
    let assessment = world.look(400);
    let [picture] = opened(&assessment)[..] else { panic!("{assessment:#?}") };
    assert_eq!((picture.subject.leg, picture.started_at), (Leg::Receive, at(0)));
    assert!(picture.summary.contains("fails at stage data (closed)"), "{}", picture.summary);
}
