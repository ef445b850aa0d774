//! Every example in `config/` loads, and the annotated one leaves no key out.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use mailsonar_agent::config::Config;
use mailsonar_clock::SystemClock;

use crate::place::{Place, root};

/// Loads an example from a copy beside which the files it names have been made.
fn load(name: &str) -> Config {
    let text = std::fs::read_to_string(root().join("config").join(name)).expect("the example is there");
    let place = Place::new();
    for file in named_files(&text) {
        place.write(&file, "s3cret\n");
    }
    // A key for signing must be one. RSA takes long to make, so the copy has one of the other kind.
    let text = text.replace("algorithm = \"rsa\"", "algorithm = \"ed25519\"");
    place.write("dkim.key", &base64::engine::general_purpose::STANDARD.encode([7_u8; 32]));
    let path = place.write(name, &text);
    Config::load(&path, &SystemClock::shared()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The values of the keys that end in `_file`, comments aside.
fn named_files(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let named = lines.filter_map(|line| line.split_once("_file = \""));
    named.map(|(_, value)| value.split('"').next().expect("a value").to_owned()).collect()
}

#[test]
fn the_annotated_example_loads_without_a_warning_and_probes_every_way() {
    let config = load("agent.toml");
    assert_eq!(config.warnings, Vec::<String>::new());
    let mut ways: Vec<_> = config
        .routes
        .iter()
        .map(|route| {
            let reference = route.card.reference.as_ref().map(ToString::to_string);
            let card = &route.card;
            format!("{} {} {} {reference:?} by {}", card.route, card.direction, card.service, card.door)
        })
        .collect();
    ways.sort();
    let expected = [
        "control control mailhost None by submission",
        "inbound inbound acme Some(\"mailhost\") by submission",
        "inbound-mx inbound acme None by mx",
        "inbound.1MB canary acme Some(\"mailhost\") by submission",
        "inbound.eicar canary acme Some(\"mailhost\") by submission",
        "inbound.gtube canary acme Some(\"mailhost\") by submission",
        "loop loop acme None by submission",
        "outbound outbound acme Some(\"mailhost\") by submission",
    ];
    assert_eq!(ways, expected);
    assert!(config.ship.is_some());
    assert_eq!(config.signers.len(), 1);
}

#[test]
fn the_values_that_are_called_defaults_are() {
    let (full, minimal) = (load("agent.toml"), load("agent-minimal.toml"));
    let of = |config: &Config| {
        let watch = &config.watch;
        let looks = (watch.brisk, watch.noops_per_second, watch.idle, watch.poll, watch.command);
        let resolve = (config.resolve.servers.clone(), config.resolve.timeout);
        let route = config.route("loop").expect("both have one");
        (
            looks,
            resolve,
            config.limits,
            config.retention,
            config.sign_ins_per_hour,
            route.interval,
            route.deadline,
            route.retry.clone(),
        )
    };
    assert_eq!(of(&full), of(&minimal));
    let mx =
        config_text("agent.toml").contains("mx = { port = 25, tls = \"opportunistic\", hosts = \"all\" }");
    assert!(mx, "the defaults of `mx`");
}

#[test]
fn the_minimal_example_is_one_loop_and_fits_on_a_napkin() {
    let config = load("agent-minimal.toml");
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].card.direction, mailsonar_protocol::Direction::Loop);
    let lines = config_text("agent-minimal.toml").lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 15, "{lines} lines");
}

fn config_text(name: &str) -> String {
    std::fs::read_to_string(root().join("config").join(name)).expect("readable")
}

#[test]
fn every_example_of_the_agent_is_loaded_by_these_tests() {
    let files = std::fs::read_dir(root().join("config")).expect("listed");
    let names: BTreeSet<_> = files
        .filter_map(|file| file.expect("listed").file_name().into_string().ok())
        .filter(|name| {
            Path::new(name).extension().is_some_and(|ending| ending == "toml")
                && !name.starts_with("collector")
        })
        .collect();
    assert_eq!(names, BTreeSet::from(["agent-minimal.toml", "agent.toml"].map(str::to_owned)));
}

/// The keys of a file of settings: the fields of its structures, as they are written there.
fn fields(source: &str, structure: &str) -> Vec<String> {
    let (_, rest) = source.split_once(structure).unwrap_or_else(|| panic!("{structure} is there"));
    let (body, _) = rest.split_once("\n}").expect("it ends");
    let name = |line: &str| {
        let line = line.trim().trim_start_matches("pub ");
        let (name, _) = line.split_once(": ")?;
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        plain.then(|| name.to_owned())
    };
    body.lines().filter_map(name).collect()
}

#[test]
fn the_annotated_example_shows_every_key_there_is() {
    let source = |path: &str| std::fs::read_to_string(root().join("agent/src").join(path)).expect("readable");
    let settings = source("config/settings.rs");
    let structures = settings.lines().filter(|line| line.contains("struct ")).map(str::to_owned);
    let mut keys: BTreeSet<String> = structures.flat_map(|line| fields(&settings, &line)).collect();
    keys.extend(fields(&source("message.rs"), "pub struct DkimSettings {"));
    assert!(keys.len() > 45 && keys.contains("password_env") && keys.contains("key_file"), "{keys:?}");
    let example = config_text("agent.toml");
    let shown = |key: &str| {
        example.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            let begins = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "));
            begins(line)
                || line.starts_with(&format!("[{key}]"))
                || line.starts_with(&format!("[{key}."))
                || (line.starts_with('[') && line.ends_with(&format!(".{key}]")))
                || line.split(['{', ',']).any(|part| begins(part.trim_start()))
        })
    };
    let missing: Vec<_> = keys.iter().filter(|key| !shown(key)).collect();
    assert!(missing.is_empty(), "not in config/agent.toml: {missing:?}");
}

#[test]
fn the_units_run_the_program_as_it_is_called() {
    for name in ["agent", "collector"] {
        let unit = config_text(&format!("mailsonar-{name}.service"));
        let value = |key: &str| {
            let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
            line.unwrap_or_else(|| panic!("{key} is in the unit of the {name}")).to_owned()
        };
        let verb = if name == "agent" { "run" } else { "serve" };
        let start = format!("/usr/bin/mailsonar-{name} {verb} --config /etc/mailsonar/{name}.toml");
        assert_eq!(value("ExecStart"), start);
        assert_eq!(value("User"), format!("mailsonar-{name}"));
        assert_eq!(value("StateDirectory"), format!("mailsonar-{name}"), "where state is kept by default");
        for (key, wanted) in [("Restart", "always"), ("ProtectSystem", "strict"), ("NoNewPrivileges", "yes")]
        {
            assert_eq!(value(key), wanted);
        }
    }
    assert_eq!(load("agent.toml").state_dir, Path::new("/var/lib/mailsonar-agent"));
}
