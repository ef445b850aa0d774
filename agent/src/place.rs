//! Where within its interval each route has its turn, as the collector said last.
//!
//! On disk, so that a restart goes on where the last life left off, with or without a collector. Knows
//! neither routes nor time: `schedule` makes turns of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use mailsonar_desk::DeskError;
use mailsonar_protocol::{Place, RouteName};
use tokio::sync::{mpsc, watch};

use crate::ledger::Ledger;

/// The whole of an interval.
const WHOLE: u32 = 1_000_000;

/// The phase of each route, as its schedule waits for it.
pub type Phases = BTreeMap<RouteName, (SignedDuration, watch::Sender<SignedDuration>)>;

/// Hears where the collector wants this agent's routes to have their turns.
pub type OnPlaced = Arc<dyn Fn(Vec<Place>) + Send + Sync>;

/// Brings the phases to where the last life left off. Where nothing was said, they stay as they are.
pub async fn recall(ledger: &Ledger, phases: &Phases) -> Result<(), DeskError> {
    let known = ledger.desk().run(|db| {
        let mut query = db.prepare("SELECT route, millionths FROM place")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    });
    for (route, millionths) in known.await? {
        if let Ok(route) = route.parse() {
            set(phases, &Place { route, millionths });
        }
    }
    Ok(())
}

/// Takes places as they are said, for ever: onto the disk first, and then into the schedules.
pub async fn run(mut said: mpsc::UnboundedReceiver<Vec<Place>>, ledger: Ledger, phases: Phases) {
    while let Some(mut places) = said.recv().await {
        places.retain(|place| {
            let known = phases.get(&place.route);
            known.is_some_and(|(interval, phase)| {
                place.millionths < WHOLE && *phase.borrow() != share(*interval, place.millionths)
            })
        });
        if places.is_empty() {
            continue;
        }
        let kept = places.clone();
        let written = ledger.desk().run(move |db| {
            let sql = "INSERT INTO place (route, millionths) VALUES (?1, ?2)
                       ON CONFLICT (route) DO UPDATE SET millionths = excluded.millionths";
            let mut insert = db.prepare_cached(sql)?;
            for Place { route, millionths } in kept {
                insert.execute((route.as_str(), millionths))?;
            }
            Ok(())
        });
        match written.await {
            Ok(()) => places.iter().for_each(|place| set(&phases, place)),
            Err(error) => {
                tracing::error!(%error, "the places of routes cannot be kept; their turns stay as they are");
            }
        }
    }
}

fn set(phases: &Phases, place: &Place) {
    if let Some((interval, phase)) = phases.get(&place.route).filter(|_| place.millionths < WHOLE) {
        let new = share(*interval, place.millionths);
        phase.send_if_modified(|old| std::mem::replace(old, new) != new);
    }
}

/// So many millionths of an interval.
fn share(interval: SignedDuration, millionths: u32) -> SignedDuration {
    let micros = interval.as_micros() * i128::from(millionths) / i128::from(WHOLE);
    SignedDuration::from_micros(i64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases() -> Phases {
        let phase = |name: &str| {
            let channel = watch::Sender::new(SignedDuration::from_secs(7));
            (name.parse().expect("a name"), (SignedDuration::from_mins(1), channel))
        };
        ["loop", "mx"].map(phase).into()
    }

    fn of(phases: &Phases, route: &str) -> i64 {
        phases[&route.parse().expect("a name")].1.borrow().as_secs()
    }

    fn place(route: &str, millionths: u32) -> Place {
        Place { route: route.parse().expect("a name"), millionths }
    }

    #[tokio::test]
    async fn a_place_outlives_the_agent_and_nonsense_moves_nothing() {
        let ledger = Ledger::in_memory().expect("a ledger");
        let (say, said) = mpsc::unbounded_channel();
        let first = phases();
        say.send(vec![place("loop", 250_000), place("mx", 1_000_000), place("stranger", 5)]).expect("heard");
        say.send(vec![place("loop", 500_000)]).expect("heard");
        drop(say);
        run(said, ledger.clone(), first.clone()).await;
        assert_eq!((of(&first, "loop"), of(&first, "mx")), (30, 7));
        let second = phases();
        recall(&ledger, &second).await.expect("read");
        assert_eq!((of(&second, "loop"), of(&second, "mx")), (30, 7), "what was never said stays a hash");
    }
}
