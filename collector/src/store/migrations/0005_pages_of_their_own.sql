-- A page may be about something else than an incident, such as a statement: `incident` then names that.

CREATE TABLE outbox_new (
    id              TEXT   NOT NULL PRIMARY KEY,
    incident        TEXT   NOT NULL,
    notifier        TEXT   NOT NULL,
    place           BIGINT NOT NULL, -- the order within one incident and notifier; the resolve is the last
    state           TEXT   NOT NULL, -- pending, delivered, given_up
    created_at      BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    refusals        BIGINT NOT NULL, -- how many of the attempts were refused for good
    next_attempt_at BIGINT NOT NULL,
    done_at         BIGINT,
    last_result     TEXT   NOT NULL,
    body            TEXT   NOT NULL,
    UNIQUE (incident, notifier, place)
);
INSERT INTO outbox_new SELECT id, incident, notifier, place, state, created_at, attempts, refusals,
    next_attempt_at, done_at, last_result, body FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_new RENAME TO outbox;
CREATE INDEX outbox_pending ON outbox (notifier, next_attempt_at) WHERE state = 'pending';
