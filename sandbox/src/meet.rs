//! What a connection meets at each step: the faults that SMTP and IMAP share, acted out.

use std::io;

use crate::{
    fault::{Fault, Stage},
    wire::Wire,
    world::{Line, SharedWorld},
};

/// How a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// In good order, or without a word.
    Close,
    /// With a reset.
    Reset,
    /// The peer is gone.
    Broken,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl End {
    /// Does to the connection what the end says.
    pub(crate) async fn conclude(self, wire: Wire) {
        match self {
            Self::Close => wire.close().await,
            Self::Reset => wire.reset(),
            Self::Broken => {}
        }
    }
}

/// Acts out what the rules have for this step: silence, slowness, a reset, an end, a flood. What is
/// said instead of the right answer is the protocol's to say, and returned.
pub(crate) async fn meet(
    world: &SharedWorld,
    line: &Line,
    account: Option<&str>,
    stage: Stage,
    wire: &mut Wire,
) -> Result<Option<Fault>, End> {
    let place = world.place(line, account);
    world.faults.healed(&place, stage, |fault| matches!(fault, Fault::Silence | Fault::Gone)).await;
    wire.slow = world.faults.find(&place, stage, |fault| match fault {
        Fault::Slow { per_byte } => Some(*per_byte),
        _ => None,
    });
    match world.faults.find(&place, stage, |fault| replaces_an_answer(fault).then(|| fault.clone())) {
        Some(Fault::Reset) => Err(End::Reset),
        Some(Fault::Close) => Err(End::Close),
        Some(Fault::Flood) => Err(wire.flood().await.into()),
        other => Ok(other),
    }
}

fn replaces_an_answer(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Reset
            | Fault::Close
            | Fault::Flood
            | Fault::Reply { .. }
            | Fault::Raw { .. }
            | Fault::No { .. }
            | Fault::Bye { .. }
    )
}
