//! The ways in which a server can be hostile, and what the agent must make of each.

use std::time::Duration;

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::hostile::{Attack, Moment, Protocol, Then, Trick};

/// How the agent is told to reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    Plaintext,
    Tls,
    Starttls,
}

impl Cover {
    /// The word in the configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "tls",
            Self::Starttls => "starttls",
        }
    }
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) cover: Cover,
    pub(crate) trick: Trick,
    /// The outcome of the probes that meet it.
    pub(crate) outcome: Outcome,
    /// The evidence in their records.
    pub(crate) stage: Stage,
    pub(crate) class: Class,
    pub(crate) detail: &'static str,
}

/// A literal of 4 GiB, less one byte.
const HUGE: &str = "{4294967295}\r\n";
const MILLION: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let imap = |cover| {
        [until_the_login(), after_the_login()].into_iter().flatten().map(move |case: Case| case.under(cover))
    };
    at_the_greeting()
        .into_iter()
        .chain(after_the_greeting())
        .chain(imap(Cover::Plaintext))
        .chain(imap(Cover::Tls))
        .chain(before_starttls())
        .collect()
}

fn at_the_greeting() -> Vec<Case> {
    use Class::{Limit, Protocol as Nonsense, Temporary, Timeout};
    use Outcome::{Deferred, Unreachable};
    use Stage::{Greeting, Tls};
    let line = Attack::endless("220 ", "a");
    let too_long = (Greeting, Limit, "line_too_long");
    vec![
        smtp("endless line", Moment::Greeting, line.clone(), Unreachable, too_long),
        smtp("endless line", Moment::Greeting, line, Unreachable, too_long).under(Cover::Tls),
        smtp(
            "endless 220-",
            Moment::Greeting,
            Attack::endless("", "220-wait\r\n"),
            Unreachable,
            (Greeting, Limit, "too_many_lines"),
        ),
        smtp(
            "a byte each second",
            Moment::Greeting,
            Attack::endless("", "2").every(SECOND),
            Unreachable,
            (Greeting, Timeout, "timeout"),
        ),
        smtp(
            "accept, silence",
            Moment::Connected,
            Attack::silence(),
            Unreachable,
            (Greeting, Timeout, "timeout"),
        ),
        smtp("accept, silence", Moment::Connected, Attack::silence(), Unreachable, (Tls, Timeout, "timeout"))
            .under(Cover::Tls),
        smtp(
            "a million 220",
            Moment::Greeting,
            Attack::times("", "220 welcome\r\n", MILLION),
            Unreachable,
            (Greeting, Nonsense, "unasked_reply"),
        ),
        smtp(
            "421 and gone",
            Moment::Greeting,
            Attack::says("421 4.3.2 go away\r\n", Then::Close),
            Deferred,
            (Greeting, Temporary, "reply_421"),
        ),
    ]
}

fn after_the_greeting() -> Vec<Case> {
    use Class::{Limit, Timeout};
    use Outcome::{Unknown, Unreachable};
    use Stage::{Auth, Data, Envelope, Greeting};
    let at = Moment::Command;
    vec![
        smtp(
            "endless EHLO reply",
            at("EHLO"),
            Attack::endless("", "250-MORE\r\n"),
            Unreachable,
            (Greeting, Limit, "too_many_lines"),
        ),
        smtp(
            "endless line to AUTH",
            at("AUTH"),
            Attack::endless("235 ", "a"),
            Unreachable,
            (Auth, Limit, "line_too_long"),
        ),
        smtp(
            "a byte each second",
            at("RCPT"),
            Attack::endless("250-", "x").every(SECOND),
            Unreachable,
            (Envelope, Timeout, "timeout"),
        ),
        smtp("silent after the dot", at("."), Attack::silence(), Unknown, (Data, Timeout, "timeout")),
    ]
}

fn until_the_login() -> Vec<Case> {
    use Class::{Closed, Limit, Timeout};
    use Stage::Login;
    let bye = || Attack::says("* BYE no\r\n", Then::Close);
    vec![
        imap(
            "endless line",
            Moment::Greeting,
            Attack::endless("* OK ", "a"),
            (Login, Limit, "line_too_long"),
        ),
        imap(
            "a byte each second",
            Moment::Greeting,
            Attack::endless("", "*").every(SECOND),
            (Login, Timeout, "timeout"),
        ),
        imap("accept, silence", Moment::Connected, Attack::silence(), (Login, Timeout, "timeout")),
        imap("BYE, again and again", Moment::Greeting, bye(), (Login, Closed, "bye")),
        imap("BYE at LOGIN", Moment::Command("LOGIN"), bye(), (Login, Closed, "bye")),
    ]
}

fn after_the_login() -> Vec<Case> {
    use Class::{Limit, Timeout};
    use Stage::{Idle, Retrieve, Select};
    let at = Moment::Command;
    vec![
        imap(
            "a million untagged",
            at("SELECT"),
            Attack::times("", "* OK still here\r\n", MILLION),
            (Select, Limit, "too_many_responses"),
        ),
        imap(
            "endless SEARCH",
            at("UID SEARCH"),
            Attack::endless("* SEARCH", " 1"),
            (Idle, Limit, "too_many_bytes"),
        ),
        imap(
            "4 GiB literal",
            at("UID FETCH"),
            Attack::endless(&format!("* 1 FETCH (UID 1 BODY[] {HUGE}"), "x"),
            (Retrieve, Limit, "literal_too_long"),
        ),
        imap(
            "100,000 parentheses",
            at("UID FETCH"),
            Attack::times("* 1 FETCH (UID 1 BODYSTRUCTURE ", "(", 100_000),
            (Retrieve, Limit, "line_too_long"),
        ),
        imap(
            "50,000 parentheses, whole",
            at("UID FETCH"),
            Attack::says(
                &format!("* 1 FETCH (UID 1 BODYSTRUCTURE {})\r\n", "(".repeat(50_000)),
                Then::Silence,
            ),
            (Retrieve, Limit, "too_deep"),
        ),
        imap(
            "a million EXISTS",
            at("UID FETCH"),
            Attack::times("", "* 1 EXISTS\r\n", MILLION),
            (Retrieve, Limit, "too_many_responses"),
        ),
        imap("silent to NOOP", at("NOOP"), Attack::silence(), (Idle, Timeout, "timeout")),
    ]
}

/// What is said in the clear before TLS has a reader of its own.
fn before_starttls() -> Vec<Case> {
    use Class::Limit;
    let line = Attack::endless("* OK ", "a");
    let lines = Attack::endless("", "* OK wait\r\n");
    vec![
        imap("endless line", Moment::Greeting, line, (Stage::Tls, Limit, "line_too_long"))
            .under(Cover::Starttls),
        imap("endless lines", Moment::Command("STARTTLS"), lines, (Stage::Tls, Limit, "too_many_responses"))
            .under(Cover::Starttls),
    ]
}

fn smtp(
    name: &'static str,
    moment: Moment,
    attack: Attack,
    outcome: Outcome,
    (stage, class, detail): (Stage, Class, &'static str),
) -> Case {
    let trick = Trick { protocol: Protocol::Smtp, moment, attack };
    Case { name, cover: Cover::Plaintext, trick, outcome, stage, class, detail }
}

fn imap(
    name: &'static str,
    moment: Moment,
    attack: Attack,
    (stage, class, detail): (Stage, Class, &'static str),
) -> Case {
    let trick = Trick { protocol: Protocol::Imap, moment, attack };
    Case { name, cover: Cover::Plaintext, trick, outcome: Outcome::Unknown, stage, class, detail }
}

impl Case {
    fn under(self, cover: Cover) -> Self {
        // where nothing is said before TLS, the handshake is what does not come
        let mute = cover == Cover::Tls && self.trick.moment == Moment::Connected;
        Self { cover, stage: if mute { Stage::Tls } else { self.stage }, ..self }
    }
}
