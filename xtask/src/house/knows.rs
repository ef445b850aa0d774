//! Who may know whom: the prohibitions of ARCHITECTURE.md, checked against the manifests.
//!
//! They hold for test dependencies too: what a crate must not know, its tests need not know.

use super::Finding;
use crate::checkout::Member;

/// A crate of the house and the limits of its knowledge.
struct Room {
    name: &'static str,
    /// Crates of the house it may name.
    may_know: &'static [&'static str],
    /// What it must stay free of.
    must_not_know: &'static [&'static Field],
    /// Crates it may name all the same.
    except: &'static [&'static str],
}

/// A field of knowledge, as the crates that bring it.
struct Field {
    name: &'static str,
    /// A crate belongs if its name is one of these, or one of these and a hyphen and more.
    crates: &'static [&'static str],
}

const RUNTIME: Field = Field { name: "an async runtime", crates: &["tokio", "async-std", "smol", "futures"] };
const HTTP: Field =
    Field { name: "HTTP", crates: &["axum", "http", "hyper", "reqwest", "tower", "ureq", "tonic"] };
const MAIL: Field = Field {
    name: "SMTP, IMAP or messages",
    crates: &["lettre", "smtp", "imap", "mail", "async-imap", "async-smtp", "rustyknife", "samotop"],
};
const STORES: Field =
    Field { name: "a database", crates: &["rusqlite", "sqlx", "postgres", "tokio-postgres"] };

const CLOCK: &str = "mailsonar-clock";
const PROTOCOL: &str = "mailsonar-protocol";
const SETTINGS: &str = "mailsonar-settings";
const DESK: &str = "mailsonar-desk";
const METERS: &str = "mailsonar-meters";
const AGENT: &str = "mailsonar-agent";
const COLLECTOR: &str = "mailsonar-collector";
const SANDBOX: &str = "mailsonar-sandbox";
const REHEARSAL: &str = "mailsonar-rehearsal";

const HOUSE: &[Room] = &[
    Room { name: CLOCK, may_know: &[], must_not_know: &[&RUNTIME, &HTTP, &MAIL, &STORES], except: &[] },
    Room { name: PROTOCOL, may_know: &[], must_not_know: &[&RUNTIME, &HTTP, &MAIL, &STORES], except: &[] },
    Room { name: SETTINGS, may_know: &[], must_not_know: &[&RUNTIME, &HTTP, &MAIL, &STORES], except: &[] },
    Room { name: DESK, may_know: &[], must_not_know: &[&HTTP, &MAIL], except: &[] },
    Room {
        name: METERS,
        may_know: &[PROTOCOL],
        must_not_know: &[&RUNTIME, &HTTP, &MAIL, &STORES],
        except: &[],
    },
    Room {
        name: AGENT,
        may_know: &[CLOCK, PROTOCOL, SETTINGS, DESK, METERS],
        must_not_know: &[],
        except: &[],
    },
    // It judges no mail and speaks to no service under watch. Lettre carries a pager's own mail through
    // another service, in notify/smtp.rs and nowhere else.
    Room {
        name: COLLECTOR,
        may_know: &[CLOCK, PROTOCOL, SETTINGS, DESK, METERS],
        must_not_know: &[&MAIL],
        except: &["lettre"],
    },
    Room { name: SANDBOX, may_know: &[CLOCK], must_not_know: &[&HTTP, &STORES], except: &[] },
    Room {
        name: REHEARSAL,
        may_know: &[CLOCK, PROTOCOL, SETTINGS, DESK, METERS, AGENT, COLLECTOR, SANDBOX],
        must_not_know: &[],
        except: &[],
    },
    Room {
        name: "xtask",
        may_know: &[CLOCK],
        must_not_know: &[&RUNTIME, &HTTP, &MAIL, &STORES],
        except: &[],
    },
];

pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    members.iter().flat_map(|member| check_member(member, members)).collect()
}

fn check_member(member: &Member, members: &[Member]) -> Vec<Finding> {
    let place = member.manifest.display().to_string();
    let finding = |what| Finding { place: place.clone(), what };
    let Some(room) = HOUSE.iter().find(|room| room.name == member.name) else {
        return vec![finding(format!(
            "{} has no place in the house yet: say in xtask/src/house/knows.rs whom it may know",
            member.name
        ))];
    };
    let mut findings = Vec::new();
    for dependency in &member.dependencies {
        let ours = members.iter().any(|other| other.name == *dependency);
        if ours && !room.may_know.contains(&dependency.as_str()) {
            findings.push(finding(format!("{} must not know {dependency}", room.name)));
        }
        let excepted = room.except.contains(&dependency.as_str());
        for field in room.must_not_know.iter().filter(|field| !ours && !excepted && field.covers(dependency))
        {
            let what = format!("{} must not know {}, which {dependency} brings", room.name, field.name);
            findings.push(finding(what));
        }
    }
    findings
}

impl Field {
    fn covers(&self, dependency: &str) -> bool {
        self.crates.iter().any(|name| {
            dependency.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, dependencies: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            manifest: "x/Cargo.toml".into(),
            dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn complaints(members: &[Member]) -> Vec<String> {
        check(members).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_collector_that_learns_imap_is_caught() {
        assert_eq!(
            complaints(&[member(COLLECTOR, &["tokio", "imap-proto", "axum"])]),
            ["mailsonar-collector must not know SMTP, IMAP or messages, which imap-proto brings"]
        );
    }

    #[test]
    fn neighbours_must_not_know_each_other_and_rehearsal_knows_all() {
        let house = [
            member(AGENT, &[COLLECTOR, CLOCK]),
            member(COLLECTOR, &[]),
            member(CLOCK, &[]),
            member(REHEARSAL, &[AGENT, COLLECTOR, CLOCK]),
        ];
        assert_eq!(complaints(&house), ["mailsonar-agent must not know mailsonar-collector"]);
    }

    #[test]
    fn a_protocol_with_a_runtime_is_caught_and_a_name_that_only_looks_alike_is_not() {
        assert_eq!(complaints(&[member(PROTOCOL, &["tokio-util"])]).len(), 1);
        assert!(complaints(&[member(PROTOCOL, &["httparse", "serde"])]).is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(complaints(&[member("mailsonar-cellar", &[])]).len(), 1);
    }
}
