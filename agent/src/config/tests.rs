//! What a person is told who got the file wrong: which file, which line, which key, and what to write.

use std::path::PathBuf;

use mailsonar_clock::SystemClock;
use mailsonar_protocol::Door;

use super::*;
use crate::oauth::Mechanism;
use crate::submit::Proof;

/// A file in which nothing is wrong.
const GOOD: &str = r#"agent = "eu-1"
region = "eu"
state_dir = "state"
listen = "127.0.0.1:0"
retention = "7d"
sign_ins_per_hour = 6
ehlo_name = "eu-1.monitor.example"

[collector]
url = "https://mailsonar.example"
token_file = "token"
heartbeat = "10s"

[dns]
timeout = "5s"

[watch]
noops_per_second = 50

[services.acme]
domains = ["acme.example"]

[references.far]
domains = ["far.example"]

[accounts.near]
service = "acme"
address = "probe@acme.example"
username = "probe"
password_file = "near.password"
submission = { host = "smtp.acme.example", tls = "tls" }
imap = { host = "imap.acme.example", tls = "tls" }

[accounts.far]
reference = "far"
address = "probe@far.example"
password_file = "far.password"
submission = { host = "smtp.far.example", tls = "starttls" }
imap = { host = "imap.far.example", tls = "tls" }

[routes.in]
from = "far"
to = "near"
interval = "60s"
deadline = "5m"

[routes.mx]
from = "mx"
to = "near"
sender = "probe@monitor.example"
mx = { port = 25, tls = "opportunistic" }

[routes.control]
from = "far"
to = "far"
"#;

/// A directory with the files that [`GOOD`] names.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        for name in ["token", "near.password", "far.password"] {
            place.write(name, "s3cret-of-ours\n");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("closed");
    }

    fn load(&self, text: &str) -> Result<Config, Problems> {
        self.write("agent.toml", text);
        Config::load(&self.path("agent.toml"), &SystemClock::shared())
    }

    /// Changes one thing in the good file, which must then be refused; returns what is said, with the
    /// directory taken out.
    fn complaint(&self, was: &str, is: &str) -> String {
        assert_eq!(GOOD.matches(was).count(), 1, "{was:?} is once in the good file");
        let Err(problems) = self.load(&GOOD.replace(was, is)) else { return format!("{is:?} was accepted") };
        let shown = problems.to_string();
        assert!(!shown.contains("s3cret"), "{shown}");
        shown.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// The line of the file on which something is, after a change.
fn line(was: &str, is: &str, marked: &str) -> usize {
    let text = GOOD.replace(was, is);
    let at = text.find(marked).unwrap_or_else(|| panic!("{marked:?} is in the file"));
    text[..at].matches('\n').count() + 1
}

#[test]
fn nothing_is_wrong_with_the_good_file() {
    let config = Place::new().load(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// What was, what is written instead, where the complaint points to, its key, and words of it.
type Mistake = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    // Words that are not known, or missing.
    ("retention = ", "retentoin = ", "retentoin", "retentoin", &["unknown field `retentoin`", "`retention`"]),
    (
        "interval = ",
        "intervall = ",
        "intervall",
        "routes.in.intervall",
        &["unknown field `intervall`", "`interval`"],
    ),
    ("[dns]", "[dnss]", "[dnss]", "dnss", &["unknown field `dnss`", "`dns`"]),
    (
        "tls = \"starttls\"",
        "tls = \"ssl\"",
        "\"ssl\"",
        "accounts.far.submission.tls",
        &["unknown variant `ssl`", "`tls`, `starttls`, `plaintext`"],
    ),
    (
        "\"imap.far.example\", tls = \"tls\"",
        "\"imap.far.example\"",
        "{ host = \"imap.far.example\"",
        "accounts.far.imap",
        &["does not say how it is protected", "\"tls\"", "\"starttls\"", "\"plaintext\""],
    ),
    ("agent = \"eu-1\"\n", "", "region", "", &["missing field `agent`"]),
    ("agent = \"eu-1\"", "agent = \"eu 1\"", "\"eu 1\"", "agent", &["not a name", "letters, digits"]),
    // Values that cannot be.
    (
        "probe@acme.example",
        "probe\\r\\nRCPT TO:<x>@acme.example",
        "\"probe\\r\\n",
        "accounts.near.address",
        &["not a mail address", "user@domain"],
    ),
    (
        "probe@monitor.example",
        "probe@monitor.example>\\r\\nDATA",
        "\"probe@monitor",
        "routes.mx.sender",
        &["not a mail address", "user@domain"],
    ),
    (
        "username = \"probe\"",
        "username = \"a\\r\\nb\"",
        "\"a\\r\\nb\"",
        "accounts.near.username",
        &["line break", "write it plainly"],
    ),
    (
        "eu-1.monitor.example",
        "eu-1\\r\\nMAIL FROM:<>",
        "\"eu-1\\r\\n",
        "ehlo_name",
        &["not a host name", "full DNS name"],
    ),
    (
        "smtp.far.example",
        "smtp.far.example:587/x",
        "\"smtp.far.example:587/x\"",
        "accounts.far.submission.host",
        &["not a host", "DNS name or an IP address"],
    ),
    (
        "from = \"far\"\nto = \"near\"\n",
        "from = \"far\"\nto = \"near\"\ncanaries = [\"eicar\", \"5 GB\"]\n",
        "[\"eicar\", \"5 GB\"]",
        "routes.in.canaries",
        &["\"5 GB\" is no canary", "\"gtube\", or a size"],
    ),
    (
        "from = \"far\"\nto = \"near\"\n",
        "from = \"far\"\nto = \"near\"\ncanaries = [\"eicar\"]\ncanary_interval = \"1s\"\n",
        "\"1s\"",
        "routes.in.canary_interval",
        &["shorter than the interval", "\"1h\""],
    ),
    (
        "from = \"far\"\nto = \"far\"\n",
        "from = \"far\"\nto = \"far\"\ncanaries = [\"gtube\"]\n",
        "[\"gtube\"]",
        "routes.control.canaries",
        &["tries no service's filters", "a service under watch"],
    ),
    ("port = 25,", "port = 70000,", "70000", "routes.mx.mx.port", &["70000", "u16"]),
    (
        "interval = \"60s\"",
        "interval = \"0s\"",
        "\"0s\"",
        "routes.in.interval",
        &["not a positive length of time", "\"90s\""],
    ),
    (
        "interval = \"60s\"",
        "interval = \"1ms\"",
        "\"1ms\"",
        "routes.in.interval",
        &["too short", "ten times a second"],
    ),
    (
        "interval = \"60s\"",
        "interval = 60",
        "60\n",
        "routes.in.interval",
        &["invalid type: integer `60`", "\"90s\""],
    ),
    (
        "deadline = \"5m\"",
        "deadline = \"8d\"",
        "\"8d\"",
        "routes.in.deadline",
        &["longer than the retention", "`retention`"],
    ),
    (
        "sign_ins_per_hour = 6",
        "sign_ins_per_hour = 0",
        "0\nehlo",
        "sign_ins_per_hour",
        &["never sign in", "1 or more"],
    ),
    (
        "noops_per_second = 50",
        "noops_per_second = 0",
        "0\n\n[services",
        "watch.noops_per_second",
        &["never look", "brisk = false"],
    ),
    (
        "https://mailsonar.example",
        "mailsonar.example",
        "\"mailsonar.example\"",
        "collector.url",
        &["not a URL", "https://collector.example"],
    ),
    (
        "https://mailsonar.example",
        "ftp://mailsonar.example",
        "\"ftp://",
        "collector.url",
        &["not a URL of http or https"],
    ),
    // References that lead nowhere.
    (
        "from = \"far\"\nto = \"near\"",
        "from = \"fra\"\nto = \"near\"",
        "\"fra\"",
        "routes.in.from",
        &["there is no account \"fra\"", "\"mx\""],
    ),
    (
        "from = \"far\"\nto = \"near\"",
        "from = \"far\"\nto = \"naer\"",
        "\"naer\"",
        "routes.in.to",
        &["there is no account naer", "[accounts.naer]"],
    ),
    (
        "service = \"acme\"",
        "service = \"acmee\"",
        "\"acmee\"",
        "accounts.near.service",
        &["there is no service acmee", "[services.acmee]"],
    ),
    (
        "reference = \"far\"",
        "reference = \"acme\"",
        "\"acme\"\naddress = \"probe@far",
        "accounts.far.reference",
        &["there is no reference acme", "[references.acme]"],
    ),
    (
        "service = \"acme\"",
        "service = \"acme\"\nreference = \"far\"",
        "accounts.near]",
        "accounts.near",
        &["neither or to both", "`reference = "],
    ),
    ("service = \"acme\"\n", "", "accounts.near]", "accounts.near", &["neither or to both", "`service = "]),
    (
        "[\"acme.example\"]",
        "[\"acme.test\"]",
        "\"probe@acme.example\"",
        "accounts.near.address",
        &["acme.example is not one of the domains of acme", "`domains`"],
    ),
    // Parts that a route needs.
    ("sender = \"probe@monitor.example\"\n", "", "routes.mx]", "routes.mx", &["needs a `sender`", "SPF"]),
    (
        "imap = { host = \"imap.acme.example\", tls = \"tls\" }\n",
        "",
        "\"near\"\ninterval",
        "routes.in.to",
        &["account near has no `imap`", "add `imap = "],
    ),
    (
        "submission = { host = \"smtp.far.example\", tls = \"starttls\" }\n",
        "",
        "\"far\"\nto = \"far\"",
        "routes.control.from",
        &["account far has no `submission`", "add `submission = "],
    ),
    (
        "deadline = \"5m\"",
        "mx = { port = 25 }",
        "{ port = 25 }",
        "routes.in.mx",
        &["goes with `from = \"mx\"` only", "remove it"],
    ),
    // Files.
    (
        "\"near.password\"",
        "\"absent.password\"",
        "accounts.near]",
        "accounts.near",
        &["absent.password", "No such file", "only the agent can read"],
    ),
    (
        "password_file = \"far.password\"\n",
        "",
        "accounts.far]",
        "accounts.far",
        &["no password", "password_file"],
    ),
    (
        "password_file = \"far.password\"",
        "password_file = \"far.password\"\npassword = \"s3cret\"",
        "accounts.far]",
        "accounts.far",
        &["given twice"],
    ),
    (
        "password_file = \"far.password\"",
        "password_env = \"MAILSONAR_NOT_SET\"",
        "accounts.far]",
        "accounts.far",
        &["MAILSONAR_NOT_SET", "not set"],
    ),
    (
        "token_file = \"token\"",
        "token_file = \"absent.token\"",
        "collector]",
        "collector",
        &["absent.token", "No such file", "token_file"],
    ),
    (
        "\"imap.acme.example\", tls = \"tls\"",
        "\"imap.acme.example\", tls = \"tls\", ca_file = \"absent.pem\"",
        "\"absent.pem\"",
        "accounts.near.imap.ca_file",
        &["absent.pem", "PEM"],
    ),
    (
        "tls = \"opportunistic\"",
        "tls = \"required\", ca_file = \"absent.pem\"",
        "\"absent.pem\"",
        "routes.mx.mx.ca_file",
        &["absent.pem", "PEM"],
    ),
    (
        "heartbeat = \"10s\"",
        "ca_file = \"absent.pem\"",
        "\"absent.pem\"",
        "collector.ca_file",
        &["absent.pem", "PEM"],
    ),
    (
        "[dns]",
        "[dkim.x]\ndomain = \"x.example\"\nselector = \"s\"\nkey_file = \"absent.key\"\n\n[dns]",
        "\"absent.key\"",
        "dkim.x.key_file",
        &["absent.key", "check the path"],
    ),
];

#[test]
fn each_mistake_is_named_with_its_file_line_key_and_remedy() {
    let place = Place::new();
    let mut unclear = Vec::new();
    for (was, is, marked, key, words) in MISTAKES {
        let shown = place.complaint(was, is);
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let place = format!("agent.toml:{}: {key}", line(was, is, marked));
        if !shown.starts_with(&place) {
            unclear.push(format!("should begin with {place:?}:\n{shown}"));
        }
        for words in words.iter().filter(|words| !shown.contains(**words)) {
            unclear.push(format!("should say {words:?}:\n{shown}"));
        }
    }
    assert!(unclear.is_empty(), "{} of {}:\n\n{}", unclear.len(), MISTAKES.len(), unclear.join("\n\n"));
}

#[test]
fn several_mistakes_are_told_together() {
    let text = GOOD.replace("\"near.password\"", "\"absent\"").replace("\"5m\"", "\"8d\"");
    let text = text.replace("https://", "gopher://").replace("to = \"far\"", "to = \"nobody\"");
    let shown = Place::new().load(&text).expect_err("refused").to_string();
    for key in ["accounts.near: ", "collector.url: ", "routes.control.to: "] {
        assert!(shown.contains(key), "{key} in {shown}");
    }
    let routes = shown.matches("there is no account near").count();
    assert_eq!(routes, 0, "what follows from another mistake is not told: {shown}");
}

#[test]
fn a_file_without_routes_or_accounts_says_what_to_add() {
    let bare = "agent = \"a\"\nregion = \"r\"\n";
    let shown = Place::new().load(&format!("{bare}[accounts]\n[routes]\n")).expect_err("refused").to_string();
    assert!(shown.contains("agent.toml:4: routes: there are no routes"), "{shown}");
    assert!(shown.contains("add [routes.NAME]"), "{shown}");
}

#[test]
fn an_account_cannot_take_the_word_for_the_mx() {
    let text = GOOD.replace("[accounts.near]", "[accounts.mx]").replace("to = \"near\"", "to = \"mx\"");
    let shown = Place::new().load(&text).expect_err("refused").to_string();
    assert!(shown.contains("accounts.mx: an account cannot be called \"mx\""), "{shown}");
}

#[test]
fn broken_toml_and_a_missing_file_are_named() {
    let place = Place::new();
    let shown = place.load("agent = \"a\nregion = \"r\"\n").expect_err("refused").to_string();
    assert!(shown.contains("agent.toml:1: "), "{shown}");
    let shown =
        Config::load(&place.path("other.toml"), &SystemClock::shared()).expect_err("refused").to_string();
    assert!(shown.contains("other.toml: cannot be read: No such file"), "{shown}");
}

#[test]
fn what_is_allowed_but_careless_is_warned_of() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "\"smtp.far.example\", tls = \"starttls\"",
            "\"smtp.far.example\", tls = \"plaintext\"",
            &["accounts.far.submission", "in the clear", "plaintext"],
        ),
        (
            "\"imap.acme.example\", tls = \"tls\"",
            "\"imap.acme.example\", tls = \"plaintext\"",
            &["accounts.near.imap", "in the clear"],
        ),
        (
            "https://mailsonar.example",
            "http://mailsonar.example",
            &["collector.url", "token", "in the clear"],
        ),
        ("password_file = \"far.password\"", "password = \"hunter2\"", &["accounts.far", "password_file"]),
        ("token_file = \"token\"", "token = \"hunter2\"", &["collector", "token_file"]),
        ("[routes.control]\nfrom = \"far\"\nto = \"far\"\n", "", &["no control route", "as surely"]),
    ];
    let place = Place::new();
    for (was, is, words) in table {
        let config = place.load(&GOOD.replace(was, is)).unwrap_or_else(|problems| panic!("{problems}"));
        let [warning] = config.warnings.as_slice() else { panic!("one warning: {:?}", config.warnings) };
        for words in *words {
            assert!(warning.contains(words), "{words:?} in {warning}");
        }
        assert!(!warning.contains("hunter2"), "{warning}");
        assert!(!format!("{config:?}").contains("hunter2"), "I12");
    }
    let config =
        place.load(&GOOD.replace("https://mailsonar.example", "http://127.0.0.1:9920")).expect("good");
    assert_eq!(config.warnings, Vec::<String>::new(), "nobody listens on this machine's own loop");
    std::fs::set_permissions(place.path("token"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("opened");
    let config = place.load(GOOD).expect("good");
    assert!(config.warnings[0].contains("chmod o-r"), "{:?}", config.warnings);
}

#[test]
fn routes_that_lean_on_a_reference_that_nothing_proves_are_refused() {
    let unproven = "[references.third]\ndomains = [\"third.example\"]\n[accounts.third]\nreference = \"third\"\naddress = \"probe@third.example\"\n\
        password_file = \"far.password\"\nsubmission = { host = \"smtp.third.example\", tls = \"tls\" }\n\
        imap = { host = \"imap.third.example\", tls = \"tls\" }\n[routes.out]\nfrom = \"near\"\nto = \"third\"\n\
        [routes.back]\nfrom = \"third\"\nto = \"near\"\n[routes.control]\n";
    let place = Place::new();
    let refused =
        place.load(&GOOD.replace("[routes.control]\n", unproven)).expect_err("it is refused").to_string();
    for words in
        ["references.third", "routes back and out lean on third", "no control route", "add a control route"]
    {
        assert!(refused.contains(words), "{words:?} in {refused}");
    }
    let proven = format!("[routes.proof]\nfrom = \"far\"\nto = \"third\"\n{unproven}");
    assert_eq!(
        place.load(&GOOD.replace("[routes.control]\n", &proven)).expect("good").warnings,
        Vec::<String>::new()
    );
}

#[test]
fn a_route_s_direction_ends_and_door_follow_from_its_accounts() {
    let text = GOOD.replace(
        "[routes.in]",
        "[routes.out]\nfrom = \"near\"\nto = \"far\"\n\n[routes.loop]\nfrom = \"near\"\nto = \"near\"\n\n[routes.in]",
    );
    let config = Place::new().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let card = |name: &str| {
        let card = &config.route(name).expect("there").card;
        let reference = card.reference.as_ref().map(ServiceName::as_str);
        (card.direction.as_str(), card.service.as_str(), reference, card.door)
    };
    assert_eq!(card("loop"), ("loop", "acme", None, Door::Submission));
    assert_eq!(card("out"), ("outbound", "acme", Some("far"), Door::Submission));
    assert_eq!(card("in"), ("inbound", "acme", Some("far"), Door::Submission));
    assert_eq!(card("mx"), ("inbound", "acme", None, Door::Mx));
    assert_eq!(card("control"), ("control", "far", None, Door::Submission));
    let address = |name: &str| config.route(name).expect("there").sender.to_string();
    assert_eq!(address("mx"), "probe@monitor.example");
    assert_eq!(address("in"), "probe@far.example", "an account writes as itself");
}

#[test]
fn what_is_not_written_has_its_default() {
    let text = "agent = \"a\"\nregion = \"r\"\n[services.acme]\ndomains = [\"acme.example\"]\n\
                [accounts.near]\nservice = \"acme\"\naddress = \"probe@ACME.example\"\n\
                password_file = \"near.password\"\n\
                submission = { host = \"smtp.acme.example\", tls = \"starttls\" }\n\
                imap = { host = \"imap.acme.example\", tls = \"tls\" }\n\
                [routes.loop]\nfrom = \"near\"\nto = \"near\"\n";
    let config = Place::new().load(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.state_dir, Path::new("/var/lib/mailsonar-agent"));
    assert_eq!(config.listen, None);
    assert!(config.ship.is_none() && config.signers.is_empty());
    assert_eq!(config.retention, jiff::SignedDuration::from_hours(7 * 24));
    assert_eq!((config.sign_ins_per_hour, config.watch.noops_per_second), (6, 50));
    assert_eq!(config.limits, Limits::default());
    let [account] = config.accounts.as_slice() else { panic!("one account") };
    assert_eq!(account.credentials.username, "probe@ACME.example", "the address, as it is written");
    assert_eq!(account.submission.as_ref().map(|endpoint| endpoint.port), Some(587));
    assert_eq!(account.imap.as_ref().map(|endpoint| endpoint.port), Some(993));
    let route = config.route("loop").expect("there");
    assert_eq!(route.interval, std::time::Duration::from_mins(1));
    assert_eq!(route.deadline, jiff::SignedDuration::from_mins(6));
    assert_eq!(route.retry, [60, 270].map(jiff::SignedDuration::from_secs), "over before the deadline");
}

#[test]
fn attempts_that_outlive_the_deadline_are_a_warning_that_names_both_keys() {
    let with = |retry: &str| {
        let text = GOOD.replace("deadline = \"5m\"", &format!("deadline = \"5m\"\nretry = {retry}"));
        Place::new().load(&text).unwrap_or_else(|problems| panic!("{problems}")).warnings
    };
    assert_eq!(with("[\"1m\", \"3m\"]"), Vec::<String>::new());
    let [warning] = with("[\"1m\", \"5m\", \"10m\"]").try_into().expect("one warning");
    assert!(
        warning.starts_with("routes.in.retry: attempts over 16m outlive the deadline of 5m"),
        "{warning}"
    );
    let config = Place::new().load(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.route("in").expect("there").retry, [jiff::SignedDuration::from_secs(60)], "what fits");
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let place = Place::new();
    let config = place.load(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.state_dir, place.path("state"));
}

#[test]
fn no_secret_is_in_the_debug_of_a_configuration() {
    let config = Place::new().load(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!format!("{config:?}").contains("s3cret"), "I12");
}

#[test]
fn sites_are_told_by_name_and_address_and_nonsense_is_placed() {
    let text =
        format!("{GOOD}\n[sites.east]\nhosts = [\"*.east.acme.example\"]\naddresses = [\"192.0.2.0/24\"]\n");
    let config = Place::new().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let site = |host, address: &str| {
        config.sites.of(host, address.parse().ok()).map(|site| site.as_str().to_owned())
    };
    assert_eq!(site("mx1.east.acme.example", "").as_deref(), Some("east"));
    assert_eq!(site("mx.elsewhere.example", "192.0.2.7").as_deref(), Some("east"));
    assert_eq!(site("mx.elsewhere.example", "198.51.100.7"), None);
    for (bad, words) in
        [("192.0.2.0/33", "sites.east.addresses"), ("192.0.2.0/24\"]\nx=[\"", "unknown field `x`")]
    {
        let problems =
            Place::new().load(&text.replace("192.0.2.0/24", bad)).expect_err("refused").to_string();
        assert!(problems.contains(words), "{problems}");
    }
    let empty = format!("{GOOD}\n[sites.east]\n");
    let problems = Place::new().load(&empty).expect_err("refused").to_string();
    assert!(problems.contains("nothing belongs to it"), "{problems}");
}

#[test]
fn a_token_stands_in_for_a_password_and_is_asked_for_safely() {
    const OAUTH: &str = r#"oauth = { token_url = "https://login.acme.example/token", client_id = "us", client_secret_file = "token", scope = "mail", mechanism = "xoauth2" }"#;
    let text = GOOD.replace("password_file = \"near.password\"", OAUTH);
    let config = Place::new().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let near = config.accounts.iter().find(|account| account.name.as_str() == "near").expect("there");
    let Proof::Token(tokens) = &near.credentials.proof else { panic!("{:?}", near.credentials) };
    assert_eq!(tokens.mechanism(), Some(Mechanism::Xoauth2));
    assert!(!format!("{config:?}").contains("s3cret"), "I12");
    for (was, is, words) in [
        ("https://login.acme.example", "http://login.acme.example", "an https URL"),
        ("client_secret_file = \"token\", ", "", "nothing to ask for a token with"),
        ("\"token\", scope", "\"absent\", scope", "absent"),
        ("oauth = {", "password = \"x\"\noauth = {", "both a password and `oauth`"),
        ("\"xoauth2\"", "\"plain\"", "unknown variant `plain`"),
    ] {
        let problems = Place::new().load(&text.replace(was, is)).expect_err(is).to_string();
        assert!(problems.contains(words), "{problems}");
    }
    let here = text.replace("https://login.acme.example", "http://127.0.0.1:9");
    Place::new().load(&here).unwrap_or_else(|problems| panic!("{problems}"));
}
