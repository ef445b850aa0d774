-- The agent's only durable state: one row a probe, revised in place.
-- Portable SQL: times are epoch microseconds in BIGINT, ids and JSON are TEXT.
CREATE TABLE probe (
    id           TEXT    PRIMARY KEY,
    account      TEXT    NOT NULL,          -- the recipient, whose mailbox is watched
    route        TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0, -- the revision the collector has; behind = to be shipped
    outcome      TEXT    NOT NULL,
    waiting      INTEGER NOT NULL,           -- 1 while the message may still turn up
    started_us   BIGINT  NOT NULL,
    due_us       BIGINT  NOT NULL,
    body         TEXT    NOT NULL            -- the case, as JSON
);
CREATE INDEX probe_unacknowledged ON probe (started_us) WHERE revision > acknowledged;
CREATE INDEX probe_waiting ON probe (account) WHERE waiting = 1;
CREATE INDEX probe_in_flight ON probe (route) WHERE outcome = 'in_flight';
CREATE INDEX probe_started ON probe (started_us);

-- Sign-ins that were refused, or are under way while there were such: see breaker.rs.
CREATE TABLE sign_in (
    id      TEXT    PRIMARY KEY,
    account TEXT    NOT NULL,
    at_us   BIGINT  NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0       -- 1 once a later sign-in was taken
);
CREATE INDEX sign_in_account ON sign_in (account, at_us);

-- Where within its interval each route has its turn, as the collector said last: see place.rs.
CREATE TABLE place (
    route      TEXT    PRIMARY KEY,
    millionths INTEGER NOT NULL
);
