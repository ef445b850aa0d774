//! SEARCH: which messages fit the criteria.

use imap_codec::imap_types::{core::AString, datetime::NaiveDate, search::SearchKey};
use jiff::{civil::Date, tz::TimeZone};

use super::{
    session::{Session, Tagged},
    view::{Selected, contains, count, flagged},
};
use crate::{headers, mailbox::Message, meet::End};

/// A message and what the criteria need to know about its place.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    message: &'a Message,
    number: u32,
    last_number: u32,
    last_uid: u32,
}

impl Session {
    pub(super) async fn search(
        &mut self,
        selected: &Selected,
        criteria: &[SearchKey<'_>],
        uid: bool,
    ) -> Result<Tagged, End> {
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        let known: Vec<_> = selected.numbered().collect();
        let found = mailboxes.with(&selected.account, &selected.folder, |folder| {
            let last_uid = known.last().map_or(0, |(_, uid)| *uid);
            let mut words = vec!["* SEARCH".to_owned()];
            for (number, id) in &known {
                let Some(at) = folder.position(*id) else { continue };
                let message = &folder.messages[at];
                let candidate =
                    Candidate { message, number: *number, last_number: count(known.len()), last_uid };
                if criteria.iter().all(|key| fits(&candidate, key)) {
                    words.push(if uid { id } else { number }.to_string());
                }
            }
            words.join(" ")
        });
        self.send(&found.unwrap_or_else(|| "* SEARCH".to_owned())).await?;
        Ok("OK SEARCH completed".to_owned())
    }
}

fn fits(c: &Candidate<'_>, key: &SearchKey<'_>) -> bool {
    let flag = |name: &str| flagged(c.message, name);
    match key {
        SearchKey::And(keys) => keys.as_ref().iter().all(|key| fits(c, key)),
        SearchKey::Or(a, b) => fits(c, a) || fits(c, b),
        SearchKey::Not(key) => !fits(c, key),
        SearchKey::All | SearchKey::Old => true,
        // Nothing is ever "recent" here.
        SearchKey::New | SearchKey::Recent => false,
        SearchKey::SequenceSet(set) => contains(set, c.number, c.last_number),
        SearchKey::Uid(set) => contains(set, c.message.uid, c.last_uid),
        SearchKey::Answered => flag(r"\Answered"),
        SearchKey::Unanswered => !flag(r"\Answered"),
        SearchKey::Deleted => flag(r"\Deleted"),
        SearchKey::Undeleted => !flag(r"\Deleted"),
        SearchKey::Draft => flag(r"\Draft"),
        SearchKey::Undraft => !flag(r"\Draft"),
        SearchKey::Flagged => flag(r"\Flagged"),
        SearchKey::Unflagged => !flag(r"\Flagged"),
        SearchKey::Seen => flag(r"\Seen"),
        SearchKey::Unseen => !flag(r"\Seen"),
        SearchKey::Keyword(word) => flag(word.inner()),
        SearchKey::Unkeyword(word) => !flag(word.inner()),
        SearchKey::Larger(size) => count(c.message.bytes.len()) > *size,
        SearchKey::Smaller(size) => count(c.message.bytes.len()) < *size,
        _ => fits_dates(c.message, key) || fits_text(&c.message.bytes, key),
    }
}

fn fits_dates(message: &Message, key: &SearchKey<'_>) -> bool {
    let received = || message.received.to_zoned_datetime(TimeZone::UTC).date();
    let is = |day: &NaiveDate, mine: Option<Date>, ok: fn(Date, Date) -> bool| {
        date(day).zip(mine).is_some_and(|(day, mine)| ok(mine, day))
    };
    match key {
        SearchKey::Since(day) => is(day, Some(received()), |mine, day| mine >= day),
        SearchKey::Before(day) => is(day, Some(received()), |mine, day| mine < day),
        SearchKey::On(day) => is(day, Some(received()), |mine, day| mine == day),
        SearchKey::SentSince(day) => is(day, sent(message), |mine, day| mine >= day),
        SearchKey::SentBefore(day) => is(day, sent(message), |mine, day| mine < day),
        SearchKey::SentOn(day) => is(day, sent(message), |mine, day| mine == day),
        _ => false,
    }
}

fn fits_text(bytes: &[u8], key: &SearchKey<'_>) -> bool {
    let (header, body) = headers::split(bytes);
    let field = |name: &[u8], text: &AString<'_>| {
        headers::fields(header)
            .iter()
            .any(|f| f.name.eq_ignore_ascii_case(name) && holds(f.value().as_bytes(), text.as_ref()))
    };
    match key {
        SearchKey::Header(name, text) => field(name.as_ref(), text),
        SearchKey::Subject(text) => field(b"Subject", text),
        SearchKey::From(text) => field(b"From", text),
        SearchKey::To(text) => field(b"To", text),
        SearchKey::Cc(text) => field(b"Cc", text),
        SearchKey::Bcc(text) => field(b"Bcc", text),
        SearchKey::Body(text) => holds(body, text.as_ref()),
        SearchKey::Text(text) => holds(bytes, text.as_ref()),
        _ => false,
    }
}

/// Whether some bytes occur in others, ASCII letters in any case. The empty string occurs everywhere.
fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

fn date(day: &NaiveDate) -> Option<Date> {
    day.as_ref().to_string().parse().ok()
}

/// The day of the Date field, in its own time zone.
fn sent(message: &Message) -> Option<Date> {
    let parsed = mail_parser::MessageParser::default().parse_headers(&message.bytes[..])?;
    let date = parsed.date()?;
    let [year, month, day] = [date.year, date.month.into(), date.day.into()].map(i16::try_from);
    Date::new(year.ok()?, i8::try_from(month.ok()?).ok()?, i8::try_from(day.ok()?).ok()?).ok()
}
