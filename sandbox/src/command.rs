//! Commands as people type them: `fault add …`, `fault list`, `failover …`, and what they answer.

use std::{collections::BTreeMap, time::Duration};

use crate::{BounceStyle, Fate, Fault, Rule, RuleId, Sandbox, Service, Stage};

/// What `help` answers.
pub const HELP: &str = "\
fault add NAME [WHAT=…] [provider=… site=… host=… service=… account=… stage=… share=0.3]
fault list | fault remove NUMBER | fault clear
failover DOMAIN SITE | renumber ACCOUNT FOLDER | truth | where | help
faults: refuse blackhole gone silence reset close close-kept reply(code,text) raw(text) flood slow(ms)
  greylist(seconds) tls-withheld tls-expired tls-wrong-name tls-untrusted tls-injected
  hold drain(per-second) late(ms) delayed-dsn twice junk alter lose bounce(style=standard|plain)
  no(text) bye(text) nxdomain servfail stale-mx
services: submission smtps mx imap imaps dns queue
stages: connect greeting hello starttls tls auth mail rcpt data accept login select search fetch store
  idle command queue delivery dns
example: fault add reply code=451 text=\"4.3.0 Try later\" stage=rcpt service=mx site=east share=0.3";

/// Does what one line says, and what to answer.
pub fn run(sandbox: &Sandbox, line: &str) -> String {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        [] => String::new(),
        ["fault", "add", rest @ ..] => match rule(rest) {
            Ok(rule) => format!("rule {}", sandbox.faults().add(rule).0),
            Err(error) => error,
        },
        ["fault", "list"] => {
            let lines = sandbox.faults().list().into_iter().map(|(id, rule)| format!("{} {rule:?}", id.0));
            lines.collect::<Vec<_>>().join("\n")
        }
        ["fault", "clear"] => {
            sandbox.faults().clear();
            "all is well".to_owned()
        }
        ["fault", "remove", number] => match number.parse() {
            Ok(number) if sandbox.faults().remove(RuleId(number)) => "removed".to_owned(),
            _ => format!("no rule {number}; see fault list"),
        },
        ["failover", domain, site] => done(sandbox.fail_over(domain, site)),
        ["renumber", account, folder] => done(sandbox.renumber(account, folder)),
        ["truth"] => truth(sandbox),
        ["where"] => describe(sandbox),
        ["help"] => HELP.to_owned(),
        _ => format!("not understood: {line:?}\n{HELP}"),
    }
}

/// A rule as it is typed after `fault add`: `gone provider=acme.example site=east`.
pub fn parse(line: &str) -> Result<Rule, String> {
    let words = words(line);
    rule(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A rule out of the words after `fault add`: the fault's name, then `key=value`.
pub fn rule(words: &[&str]) -> Result<Rule, String> {
    let (name, rest) = words.split_first().ok_or("name a fault; see help")?;
    let mut values = BTreeMap::new();
    for word in rest {
        let (key, value) =
            word.split_once('=').ok_or_else(|| format!("{word:?} is not KEY=VALUE; see help"))?;
        values.insert(key, value);
    }
    let mut values = Values(values);
    let mut rule = Rule::new(fault(name, &mut values)?);
    rule.provider = values.text("provider");
    rule.site = values.text("site");
    rule.host = values.text("host");
    rule.account = values.text("account");
    rule.service = values.text("service").map(|name| one_of("service", &SERVICES, &name)).transpose()?;
    rule.stage = values.text("stage").map(|name| one_of("stage", &STAGES, &name)).transpose()?;
    if let Some(share) = values.number::<f64>("share")? {
        rule.share = share;
    }
    match values.0.keys().next() {
        Some(key) => Err(format!("{key:?} means nothing to {name}; see help")),
        None => Ok(rule),
    }
}

/// Where everything is, for people.
pub fn describe(sandbox: &Sandbox) -> String {
    let ports = sandbox.ports();
    let mut lines = vec![format!("dns        {} (UDP and TCP)", sandbox.dns_addr())];
    for host in sandbox.hosts() {
        let doors = SERVICES.iter().filter(|(_, service)| host.role.serves(*service));
        let doors: Vec<String> =
            doors.map(|(name, service)| format!("{name} {}", ports.of(*service))).collect();
        lines.push(format!("{:<10} {:<24} {:<6} {}", host.address, host.name, host.site, doors.join(", ")));
    }
    lines.extend(sandbox.accounts().into_iter().map(|account| format!("account    {account}")));
    lines.join("\n")
}

fn truth(sandbox: &Sandbox) -> String {
    sandbox.truth().read(|facts| {
        let count = |fate| facts.count(fate);
        format!(
            "accepted {}, queued {}, delivered {}, lost {}, bounced {}",
            facts.letters.len(),
            count(Fate::Queued),
            count(Fate::Delivered),
            count(Fate::Lost),
            count(Fate::Bounced)
        )
    })
}

fn done(result: Result<(), crate::Error>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

const SERVICES: [(&str, Service); 7] = [
    ("submission", Service::Submission),
    ("smtps", Service::Smtps),
    ("mx", Service::Mx),
    ("imap", Service::Imap),
    ("imaps", Service::Imaps),
    ("dns", Service::Dns),
    ("queue", Service::Queue),
];

const STAGES: [(&str, Stage); 20] = [
    ("connect", Stage::Connect),
    ("greeting", Stage::Greeting),
    ("hello", Stage::Hello),
    ("starttls", Stage::StartTls),
    ("tls", Stage::Tls),
    ("auth", Stage::Auth),
    ("mail", Stage::MailFrom),
    ("rcpt", Stage::RcptTo),
    ("data", Stage::Data),
    ("accept", Stage::Accept),
    ("login", Stage::Login),
    ("select", Stage::Select),
    ("search", Stage::Search),
    ("fetch", Stage::Fetch),
    ("store", Stage::Store),
    ("idle", Stage::Idle),
    ("command", Stage::Command),
    ("queue", Stage::Queue),
    ("delivery", Stage::Delivery),
    ("dns", Stage::Dns),
];

fn one_of<T: Clone>(what: &str, list: &[(&str, T)], name: &str) -> Result<T, String> {
    let names = || list.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = list.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| value.clone()).ok_or_else(|| format!("no {what} {name:?}; there are {}", names()))
}

fn fault(name: &str, values: &mut Values<'_>) -> Result<Fault, String> {
    let plain = [
        ("refuse", Fault::Refuse),
        ("blackhole", Fault::BlackHole),
        ("gone", Fault::Gone),
        ("silence", Fault::Silence),
        ("reset", Fault::Reset),
        ("close", Fault::Close),
        ("close-kept", Fault::CloseKept),
        ("flood", Fault::Flood),
        ("tls-withheld", Fault::TlsWithheld),
        ("tls-expired", Fault::TlsExpired),
        ("tls-wrong-name", Fault::TlsWrongName),
        ("tls-untrusted", Fault::TlsUntrusted),
        ("tls-injected", Fault::TlsInjected),
        ("hold", Fault::Hold),
        ("delayed-dsn", Fault::DelayedDsn),
        ("twice", Fault::Twice),
        ("junk", Fault::Junk),
        ("alter", Fault::Alter),
        ("lose", Fault::Lose),
        ("nxdomain", Fault::NxDomain),
        ("servfail", Fault::ServFail),
        ("stale-mx", Fault::StaleMx),
    ];
    if let Some((_, fault)) = plain.into_iter().find(|(other, _)| *other == name) {
        return Ok(fault);
    }
    Ok(match name {
        "reply" => Fault::Reply { code: values.need("code")?, text: values.text("text").unwrap_or_default() },
        "raw" => Fault::Raw { text: unescaped(&values.need_text("text")?) },
        "slow" => Fault::Slow { per_byte: Duration::from_millis(values.need("ms")?) },
        "late" => Fault::Late { by: Duration::from_millis(values.need("ms")?) },
        "greylist" => Fault::Greylist { wait: Duration::from_secs(values.need("seconds")?) },
        "drain" => Fault::Drain { per_second: values.need("per-second")? },
        "bounce" => match values.text("style").as_deref() {
            None | Some("standard") => Fault::Bounce { style: BounceStyle::Standard },
            Some("plain") => Fault::Bounce { style: BounceStyle::Plain },
            Some(other) => return Err(format!("no style {other:?}; there are standard, plain")),
        },
        "no" => Fault::No { text: values.need_text("text")? },
        "bye" => Fault::Bye { text: values.need_text("text")? },
        _ => return Err(format!("no fault {name:?}; see help")),
    })
}

/// The `key=value` words that nobody took yet.
struct Values<'a>(BTreeMap<&'a str, &'a str>);

impl Values<'_> {
    fn text(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).map(str::to_owned)
    }

    fn need_text(&mut self, key: &str) -> Result<String, String> {
        self.text(key).ok_or_else(|| format!("{key}=… is missing; see help"))
    }

    fn number<T: std::str::FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        let parse =
            |text: String| text.parse().map_err(|_| format!("{key}={text} is not a number that fits"));
        self.text(key).map(parse).transpose()
    }

    fn need<T: std::str::FromStr>(&mut self, key: &str) -> Result<T, String> {
        self.number(key)?.ok_or_else(|| format!("{key}=… is missing; see help"))
    }
}

/// Splits at blanks, except within double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    for c in line.chars() {
        if c == '"' {
            quoted = !quoted;
            begun = true;
        } else if c.is_whitespace() && !quoted {
            if begun {
                words.push(std::mem::take(&mut word));
            }
            begun = false;
        } else {
            word.push(c);
            begun = true;
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// `\r`, `\n` and `\t` as what they stand for.
fn unescaped(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_typed_as_it_is_said() {
        assert_eq!(
            parse(r#"reply code=451 text="4.3.0 Try later" stage=rcpt service=mx site=east share=0.3"#),
            Ok(Rule::new(Fault::Reply { code: 451, text: "4.3.0 Try later".into() })
                .stage(Stage::RcptTo)
                .service(Service::Mx)
                .site("east")
                .share(0.3))
        );
        assert_eq!(parse("raw text=250\\r\\n"), Ok(Rule::new(Fault::Raw { text: "250\r\n".into() })));
    }

    #[test]
    fn a_wrong_word_is_named() {
        assert!(parse("refuse stag=rcpt").unwrap_err().contains("\"stag\""));
        assert!(parse("refuse stage=recipient").unwrap_err().contains("rcpt"));
        assert!(parse("drain").unwrap_err().contains("per-second"));
        assert!(parse("explode").unwrap_err().contains("explode"));
    }
}
