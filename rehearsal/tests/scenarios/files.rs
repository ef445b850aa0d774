//! Scenario files that are wrong are refused with the line that is; the program says so by its exit code.

use std::process::Command;

use mailsonar_rehearsal::scenario::Plan;
use mailsonar_settings::Document;

const HEAD: &str = "title = \"t\"\nstory = \"s\"\nstarts_at = \"2026-03-05T09:00:00Z\"\nlasts = \"10m\"\n";

fn complaint(rest: &str) -> String {
    let document = Document::new("wrong.toml", format!("{HEAD}{rest}"));
    Plan::from_document("wrong".into(), &document).expect_err("it is wrong").to_string()
}

#[test]
fn what_is_wrong_is_shown_with_its_line_and_the_remedy() {
    let event = |rest: &str| complaint(&format!("[[event]]\nat = \"+1m\"\nwords = \"w\"\n{rest}\n"));
    for (shown, line, words) in [
        (complaint("[[event]]\nat = \"noon\"\nwords = \"w\"\n"), 6, "\"11:00\""),
        (complaint("[[event]]\nat = \"+11m\"\nwords = \"w\"\n"), 6, "after the end"),
        (complaint("[[event]]\nwords = \"w\"\n"), 5, "missing field `at`"),
        (event("break = [\"explode\"]"), 8, "no fault \"explode\""),
        (event("break = [\"refuse stag=rcpt\"]"), 8, "\"stag\""),
        (event("heal = [\"nothing\"]"), 8, "nothing of that name"),
        (event("fail_over = \"acme.example north\""), 8, "east, west"),
        (event("cut = [\"mars\"]"), 8, "no such region"),
        (event("kill = [\"everyone\"]"), 8, "collector, frankfurt-1"),
        (event("clock = { frankfurt-1 = \"soon\" }"), 8, "\"+1h\""),
        (complaint("[world]\nroutes = [\"around\"]\n"), 6, "send, receive, loop, control"),
        (complaint("[[expect.page]]\nafter = \"doom\"\n"), 6, "no event has this name"),
        (complaint("[[expect.page]]\nlegs = \"send\"\n"), 6, "unknown field `legs`"),
    ] {
        assert!(shown.starts_with(&format!("wrong.toml:{line}: ")), "line {line}: {shown}");
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn the_exit_code_tells_a_wrong_file_from_an_unmet_expectation() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |text: &str, more: &[&str]| {
        let path = directory.path().join("scenario.toml");
        std::fs::write(&path, format!("{HEAD}{text}")).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsonar-rehearse"));
        let output = command.arg("run").arg(&path).args(more).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, error) = run("[[event]]\nat = \"noon\"\nwords = \"w\"\n", &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("6 | at = \"noon\"\n  |      ^^^^^^"), "{error}");

    let short = "[world]\nregions = { here = \"20ms\" }\nroutes = [\"control\"]\n";
    let (code, out, _) = run(&format!("{short}[[expect.no_page]]\n"), &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("ok   no page"), "{out}");

    let junit = directory.path().join("junit.xml");
    let wanted = format!("{short}[[expect.page]]\nleg = \"send\"\n");
    let (code, out, _) = run(&wanted, &["--json", "--junit", &junit.to_string_lossy()]);
    assert_eq!(code, Some(1), "{out}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report[0]["expectations"][0]["met"], false);
    let xml = std::fs::read_to_string(junit).expect("written");
    assert!(xml.contains("tests=\"1\" failures=\"1\""), "{xml}");
}
