//! What can be broken in the demo, by key or by name.
//!
//! Knows the sandbox's rules and the distance of a region; what the monitoring makes of it is for
//! the monitoring to say.

use std::str::FromStr;

use mailsonar_sandbox::{Fault, Rule, Service, Stage};

use super::world::{REGIONS, SERVICE_DOMAIN};

/// One thing that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mischief {
    /// The key that breaks it.
    pub key: char,
    /// Its name on the command line.
    pub name: &'static str,
    /// A few words for the screen.
    pub words: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MxRefuses,
    QueueHeld,
    SubmissionFrozen,
    ImapDown,
    PasswordWrong,
    CertificateExpired,
    MailLost,
    SiteGone,
    RegionCutOff,
}

/// Everything that can be broken, in the order of the keys.
pub const MENU: [Mischief; 9] = [
    Mischief { key: '1', name: "mx", words: "MX refuses", kind: Kind::MxRefuses },
    Mischief { key: '2', name: "queue", words: "queue held", kind: Kind::QueueHeld },
    Mischief { key: '3', name: "frozen", words: "submission frozen", kind: Kind::SubmissionFrozen },
    Mischief { key: '4', name: "imap", words: "IMAP down", kind: Kind::ImapDown },
    Mischief { key: '5', name: "password", words: "wrong password", kind: Kind::PasswordWrong },
    Mischief { key: '6', name: "certificate", words: "cert expired", kind: Kind::CertificateExpired },
    Mischief { key: '7', name: "lost", words: "mail lost", kind: Kind::MailLost },
    Mischief { key: '8', name: "site", words: "site gone", kind: Kind::SiteGone },
    Mischief { key: '9', name: "region", words: "region cut off", kind: Kind::RegionCutOff },
];

impl Mischief {
    /// What stands behind this key.
    pub fn by_key(key: char) -> Option<Self> {
        MENU.into_iter().find(|mischief| mischief.key == key)
    }

    /// The region whose network it cuts, where it is not the service that breaks.
    pub fn cut_region(self) -> Option<&'static str> {
        (self.kind == Kind::RegionCutOff).then(|| REGIONS[REGIONS.len() - 1].name)
    }

    /// The rules that break the service.
    pub fn rules(self) -> Vec<Rule> {
        let at = |fault: Fault| Rule::new(fault).provider(SERVICE_DOMAIN);
        match self.kind {
            Kind::MxRefuses => vec![at(Fault::Refuse).service(Service::Mx)],
            Kind::QueueHeld => vec![at(Fault::Hold)],
            Kind::SubmissionFrozen => vec![at(Fault::Silence).service(Service::Smtps)],
            // Nobody is let in any more, and who is in already is sent away.
            Kind::ImapDown => {
                let bye = Fault::Bye { text: "Server shutting down".into() };
                let out = [Stage::Command, Stage::Search, Stage::Fetch, Stage::Idle];
                let out = out.map(|stage| at(bye.clone()).service(Service::Imaps).stage(stage));
                out.into_iter().chain([at(Fault::Refuse).service(Service::Imaps)]).collect()
            }
            Kind::PasswordWrong => {
                let no = "5.7.8 Error: authentication failed";
                let refused = Fault::Reply { code: 535, text: no.into() };
                vec![at(refused).service(Service::Smtps).stage(Stage::Auth)]
            }
            Kind::CertificateExpired => vec![at(Fault::TlsExpired).service(Service::Smtps)],
            Kind::MailLost => vec![at(Fault::Lose)],
            Kind::SiteGone => vec![at(Fault::Gone).site("east")],
            Kind::RegionCutOff => Vec::new(),
        }
    }
}

impl FromStr for Mischief {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |mischief: &Mischief| mischief.name == text || text == mischief.key.to_string();
        MENU.into_iter().find(fits).ok_or_else(|| {
            let names: Vec<_> = MENU.iter().map(|mischief| mischief.name).collect();
            format!("{text:?} is nothing that can be broken; write one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_name_breaks_something() {
        for mischief in MENU {
            assert_eq!(mischief.name.parse(), Ok(mischief));
            assert_eq!(Mischief::by_key(mischief.key), Some(mischief));
            assert!(mischief.cut_region().is_some() || !mischief.rules().is_empty(), "{}", mischief.name);
        }
        let error = "coffee".parse::<Mischief>().expect_err("the demo has no coffee");
        assert!(error.contains("write one of mx, queue,"), "{error}");
    }
}
