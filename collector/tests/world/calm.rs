//! Noise pages nobody: probes that fail for no reason, independently of each other.

use crate::fleet::Plan;
use crate::world::World;

const HOUR: i64 = 3_600_000;

/// False pages within so many hours, at so many failures in a thousand probes.
fn false_pages(hours: i64, per_mille: u64) -> usize {
    let mut world = World::of(Plan::usual(), 42 + per_mille);
    world.noise = per_mille;
    world.run_until(hours * HOUR);
    let pages = world.incidents.len();
    println!(
        "{:.1} % noise, {hours} hours, {} probes: {pages} false pages",
        f64::from(u32::try_from(per_mille).expect("small")) / 10.0,
        world.probes
    );
    for (_, picture) in &world.incidents {
        println!("  {}", picture.summary);
    }
    pages
}

#[test]
fn hours_of_noise_page_nobody() {
    assert_eq!(false_pages(4, 20), 0);
}

#[test]
#[ignore = "minutes without --release"]
fn thirty_days_of_noise_page_nobody_at_half_a_percent_and_once_at_most_at_two() {
    assert_eq!(false_pages(30 * 24, 5), 0);
    assert!(false_pages(30 * 24, 20) <= 1);
}
