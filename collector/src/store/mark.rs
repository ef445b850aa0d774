//! A mark: what one probe amounts to, packed into 14 bytes for counting.
//!
//! A sheet is the marks of one lane in one hour, sorted. The same probes give the same bytes, in whatever
//! order they were learned, since a probe's old mark is taken out when its new one is put in. Knows bytes,
//! and no table.

use jiff::Timestamp;
use mailsonar_protocol::{Class, Outcome, Record, Stage};

/// Microseconds in an hour.
pub(super) const HOUR_US: i64 = 3_600_000_000;

/// Bytes in a mark.
const SIZE: usize = 14;

/// Stands for "no latency".
const NONE: u64 = 0xffff_ffff_ffff;

/// The codes of the packed words. What is written stays: new words go to the end.
const OUTCOMES: [Outcome; 11] = {
    use Outcome::{
        Altered, Bounced, Deferred, Delivered, InFlight, Late, Lost, Misfiled, Refused, Unknown, Unreachable,
    };
    [InFlight, Delivered, Late, Lost, Bounced, Refused, Deferred, Unreachable, Misfiled, Altered, Unknown]
};
const STAGES: [Stage; 13] = {
    use Stage::{
        Auth, Connect, Data, Envelope, Greeting, Idle, Login, Resolve, Retrieve, Select, Tls, Transit, Verify,
    };
    [Resolve, Connect, Tls, Greeting, Auth, Envelope, Data, Transit, Retrieve, Verify, Login, Select, Idle]
};
const CLASSES: [Class; 15] = {
    use Class::{
        Auth, Closed, Connect, Dns, Limit, Mailbox, Missing, Own, Permanent, Protocol, Quality, Security,
        Temporary, Timeout, Tls,
    };
    [
        Dns, Connect, Timeout, Closed, Tls, Security, Auth, Temporary, Permanent, Protocol, Limit, Missing,
        Quality, Mailbox, Own,
    ]
};

/// What one concluded probe amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When it started, on the collector's clock.
    pub started_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// The step that decided it.
    pub stage: Option<Stage>,
    /// The kind of trouble.
    pub class: Option<Class>,
    /// Whether a server took the message.
    pub accepted: bool,
    /// Whether it was sent out of turn.
    pub confirmation: bool,
    /// From acceptance until visible, in microseconds; nine years at most.
    pub latency_us: Option<u64>,
}

impl Mark {
    /// The mark of a record that started then; none while it is in flight, and none of a canary: nothing is
    /// promised of those.
    pub fn of(record: &Record, started_at: Timestamp) -> Option<Self> {
        (record.is_concluded() && record.canary.is_none()).then(|| Self {
            started_at,
            outcome: record.verdict.outcome,
            stage: record.verdict.stage,
            class: record.verdict.class,
            accepted: record.accepted.is_some(),
            confirmation: record.confirmation,
            latency_us: record.latency_us().map(|us| us.min(NONE - 1)),
        })
    }

    /// The hour it belongs to.
    pub fn hour(&self) -> i64 {
        self.started_at.as_microsecond().div_euclid(HOUR_US)
    }

    fn pack(&self) -> [u8; SIZE] {
        let offset = self.started_at.as_microsecond().rem_euclid(HOUR_US);
        let mut bytes = [0; SIZE];
        // Big-endian, so that sorting bytes sorts times. An hour's microseconds fit 32 bits.
        bytes[..4].copy_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes());
        bytes[4] = code(&OUTCOMES, self.outcome);
        bytes[5] = self.stage.map_or(0, |stage| code(&STAGES, stage) + 1);
        bytes[6] = self.class.map_or(0, |class| code(&CLASSES, class) + 1);
        bytes[7] = u8::from(self.accepted) | (u8::from(self.confirmation) << 1);
        bytes[8..].copy_from_slice(&self.latency_us.unwrap_or(NONE).to_be_bytes()[2..]);
        bytes
    }

    fn unpack(hour: i64, bytes: &[u8; SIZE]) -> Option<Self> {
        let offset = u32::from_be_bytes(bytes[..4].try_into().ok()?);
        let mut latency = [0; 8];
        latency[2..].copy_from_slice(&bytes[8..]);
        let latency = u64::from_be_bytes(latency);
        let optional = |at: u8| usize::from(at).checked_sub(1);
        Some(Self {
            started_at: Timestamp::from_microsecond(hour.checked_mul(HOUR_US)? + i64::from(offset)).ok()?,
            outcome: *OUTCOMES.get(usize::from(bytes[4]))?,
            stage: match optional(bytes[5]) {
                Some(at) => Some(*STAGES.get(at)?),
                None => None,
            },
            class: match optional(bytes[6]) {
                Some(at) => Some(*CLASSES.get(at)?),
                None => None,
            },
            accepted: bytes[7] & 1 != 0,
            confirmation: bytes[7] & 2 != 0,
            latency_us: (latency != NONE).then_some(latency),
        })
    }
}

fn code<T: Copy + PartialEq>(words: &[T], word: T) -> u8 {
    let at = words.iter().position(|known| *known == word);
    u8::try_from(at.unwrap_or(usize::from(u8::MAX))).unwrap_or(u8::MAX)
}

/// Puts a mark into a sheet's body.
pub(super) fn put(body: &mut Vec<u8>, mark: &Mark) {
    let packed = mark.pack();
    let at = place(body, &packed);
    body.splice(at..at, packed);
}

/// Takes one mark out of a sheet's body, if it is there.
pub(super) fn take(body: &mut Vec<u8>, mark: &Mark) {
    let packed = mark.pack();
    let at = place(body, &packed);
    if body.get(at..at + SIZE) == Some(packed.as_slice()) {
        body.drain(at..at + SIZE);
    }
}

/// Where a mark is, or belongs.
fn place(body: &[u8], packed: &[u8; SIZE]) -> usize {
    let (marks, _) = body.as_chunks::<SIZE>();
    marks.partition_point(|mark| mark < packed) * SIZE
}

/// The marks of a body, in order of time; `None` if it cannot be read.
pub(super) fn read(hour: i64, body: &[u8]) -> Option<Vec<Mark>> {
    let (marks, rest) = body.as_chunks::<SIZE>();
    rest.is_empty().then(|| marks.iter().map(|mark| Mark::unpack(hour, mark)).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_word_of_the_protocol_has_a_code() {
        assert!(Outcome::ALL.iter().all(|word| OUTCOMES.contains(word)));
        assert!(Stage::ALL.iter().all(|word| STAGES.contains(word)));
        assert!(Class::ALL.iter().all(|word| CLASSES.contains(word)));
    }

    fn marks() -> impl Strategy<Value = Mark> {
        let times = (0..HOUR_US, prop::option::of(0..NONE), any::<bool>(), any::<bool>());
        let words = (
            prop::sample::select(OUTCOMES.as_slice()),
            prop::option::of(prop::sample::select(STAGES.as_slice())),
            prop::option::of(prop::sample::select(CLASSES.as_slice())),
        );
        (times, words).prop_map(|((us, latency_us, accepted, confirmation), (outcome, stage, class))| Mark {
            started_at: Timestamp::from_microsecond(498_754 * HOUR_US + us).expect("in range"),
            outcome,
            stage,
            class,
            accepted,
            confirmation,
            latency_us,
        })
    }

    proptest! {
        #[test]
        fn a_sheet_gives_back_its_marks_in_order_and_takes_out_one_at_a_time(
            kept in prop::collection::vec(marks(), 0..40),
            gone in prop::collection::vec(marks(), 0..10),
        ) {
            let mut body = Vec::new();
            for mark in gone.iter().chain(&kept) {
                put(&mut body, mark);
            }
            for mark in &gone {
                take(&mut body, mark);
            }
            let mut expected = kept;
            expected.sort_by_key(Mark::pack);
            prop_assert_eq!(read(498_754, &body), Some(expected));
        }
    }
}
