//! Not a test: serves the Thursday, so that somebody can look at it.
//!
//! `cargo test -p mailsonar-collector --test it pages::look -- --ignored --nocapture`

use super::outage::served;

#[tokio::test]
#[ignore = "serves the pages until its standard input ends"]
async fn look_at_the_pages_in_a_browser() {
    let public = "[expose]\npublic = [\"acme\"]\n";
    let (outage, peace) = (served(true, "").await, served(false, "").await);
    let strangers = served(true, public).await;
    eprintln!("outage: {}\npeace: {}\nstrangers: {}", outage.base, peace.base, strangers.base);
    let input = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    input.await.expect("it waits").expect("standard input");
}
