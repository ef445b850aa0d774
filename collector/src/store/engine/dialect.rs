//! Where the two engines differ. Everything else in `store/` is written once, in SQL that both speak.
//!
//! | | SQLite | PostgreSQL |
//! |---|---|---|
//! | placeholders | `?1` | `$1`, made of `?1` |
//! | `TEXT` | sorts by bytes | is made `TEXT COLLATE "C"`, which does too |
//! | `BLOB` | `BLOB` | `BYTEA` |
//! | the schema's version | `PRAGMA user_version` | the one row of the table `house` |
//! | who writes takes a turn | `BEGIN IMMEDIATE` locks the file | the row of `house` is locked |
//! | who reads sees one instant | any transaction | `REPEATABLE READ` |
//! | who decides and pages | whoever opens the file | whoever holds an advisory lock |
//! | old rows | deleted; their pages are used again | deleted; autovacuum frees them |
//!
//! So a statement uses `ON CONFLICT … DO UPDATE`, `LIMIT`, `COALESCE`, `CASE` and the like freely, but no
//! function that only one of them has; it writes `CAST(?1 AS TEXT) IS NULL` where nothing else says what a
//! placeholder holds, and `CAST(SUM(…) AS BIGINT)`, since PostgreSQL's sum of BIGINT is no BIGINT.

/// A statement as PostgreSQL takes it.
pub(super) fn statement(sql: &str) -> String {
    let mut spoken = String::with_capacity(sql.len());
    let mut letters = sql.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_place = letter == '?' && letters.peek().is_some_and(char::is_ascii_digit);
        spoken.push(if is_place { '$' } else { letter });
    }
    spoken
}

/// A migration as PostgreSQL takes it. Its files name each type as a word of its own, in capitals.
pub(super) fn migration(sql: &str) -> String {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or(line));
    let words = code.flat_map(|line| line.split_inclusive([' ', ',', '\n']).chain(["\n"]));
    let spoken = words.map(|word| {
        let bare = word.trim_end_matches([' ', ',', '\n', ';']);
        match bare {
            "TEXT" => word.replacen("TEXT", "TEXT COLLATE \"C\"", 1),
            "BLOB" => word.replacen("BLOB", "BYTEA", 1),
            _ => word.to_owned(),
        }
    });
    spoken.collect()
}

/// What PostgreSQL is asked for when a connection is new. The limits keep a copy that was stopped in the
/// middle of its turn from keeping the others waiting for longer than they may take to take over.
pub(super) const GREETING: &str = "
    SET client_min_messages = 'warning';
    SET idle_in_transaction_session_timeout = '6s';
    SET lock_timeout = '20s';";

/// The one collector that decides and pages by a database holds this lock, as long as its connection
/// lives; the answer is 1 if it was free.
pub(super) const CLAIM: &str = "SELECT CAST(pg_try_advisory_lock(
    hashtextextended(CAST(current_schema() AS TEXT), 7883954261)) AS INTEGER)";

/// How long a collector with a claim may be silent before the server hangs up, which ends the claim.
/// It looks around every second.
pub(super) const CLAIMED: &str = "SET idle_session_timeout = '8s'";

/// As [`GREETING`], for who only reads, and may think about it.
pub(super) const GREETING_READER: &str = "SET client_min_messages = 'warning'";

/// What a database of ours is known by: the version of its schema, and how many turns were taken.
pub(super) const HOUSE: &str = "
    CREATE TABLE IF NOT EXISTS house (
        id      BIGINT NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL,
        turn    BIGINT NOT NULL
    );
    INSERT INTO house (id, version, turn) VALUES (1, 0, 0) ON CONFLICT DO NOTHING;";

/// Begins a transaction that writes. One at a time does in the whole database: so what is read may be
/// written back changed, batches can not wait for each other in a ring, and turns are numbered in the
/// order in which they are committed.
pub(super) const BEGIN_WRITE: &str = "BEGIN; UPDATE house SET turn = turn + 1 WHERE id = 1;";

/// Begins a transaction that only reads, all of it at one instant.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

#[cfg(test)]
mod tests {
    use super::{migration, statement};

    #[test]
    fn a_statement_gets_dollars_for_its_places_only() {
        assert_eq!(statement("a = ?1 AND b = '?' LIMIT ?12"), "a = $1 AND b = '?' LIMIT $12");
    }

    #[test]
    fn a_migration_gets_other_types_and_loses_its_comments() {
        let ours = "CREATE TABLE t (\n    a  TEXT   NOT NULL, -- TEXT, opaque\n    b BLOB,\n    c TEXT\n);";
        let theirs = "CREATE TABLE t (\n    a  TEXT COLLATE \"C\"   NOT NULL, \n    b BYTEA,\n    c TEXT COLLATE \"C\"\n);\n";
        assert_eq!(migration(ours), theirs);
    }
}
