-- Portable SQL: times are BIGINT epoch microseconds on the collector's clock, ids and enums are TEXT,
-- JSON is opaque TEXT. Everything outside `record`, `routes`, `health`, `document` and `body` is there
-- to be searched by.

CREATE TABLE agents (
    name      TEXT   NOT NULL PRIMARY KEY,
    region    TEXT   NOT NULL,
    software  TEXT   NOT NULL,
    heard_at  BIGINT NOT NULL,
    offset_us BIGINT NOT NULL,
    offsets   TEXT   NOT NULL, -- JSON: the newest readings of the clock offset, oldest first
    routes    TEXT   NOT NULL, -- JSON: the route cards it announces
    health    TEXT   NOT NULL  -- JSON: as the agent sent it
);

CREATE TABLE probes (
    id          TEXT   NOT NULL PRIMARY KEY,
    revision    BIGINT NOT NULL,
    agent       TEXT   NOT NULL,
    region      TEXT   NOT NULL,
    service     TEXT   NOT NULL,
    route       TEXT   NOT NULL,
    direction   TEXT   NOT NULL,
    outcome     TEXT   NOT NULL,
    stage       TEXT,
    class       TEXT,
    reason      TEXT   NOT NULL,
    peer        TEXT   NOT NULL,
    accepted    BIGINT NOT NULL, -- 1 once a server took the message, else 0
    offset_us   BIGINT NOT NULL, -- what turned the agent's times into ours when the probe was first heard of
    started_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    visible_at  BIGINT,
    received_at BIGINT NOT NULL, -- when this revision came in
    record      TEXT   NOT NULL
);
CREATE INDEX probes_by_lane ON probes (agent, service, route, started_at);
CREATE INDEX probes_by_start ON probes (started_at, id);
CREATE INDEX probes_by_service ON probes (service, started_at, id);
CREATE INDEX probes_by_outcome ON probes (outcome, started_at, id);

CREATE TABLE incidents (
    id            TEXT   NOT NULL PRIMARY KEY,
    service       TEXT   NOT NULL,
    leg           TEXT   NOT NULL,
    state         TEXT   NOT NULL, -- open, resolved
    started_at    BIGINT NOT NULL,
    opened_at     BIGINT NOT NULL,
    resolved_at   BIGINT,
    settled_until BIGINT, -- failures of probes that started until then belong to this incident
    document      TEXT   NOT NULL
);
CREATE UNIQUE INDEX incidents_one_open ON incidents (service, leg) WHERE state = 'open';
CREATE INDEX incidents_by_opening ON incidents (opened_at, id);

CREATE TABLE outbox (
    id              TEXT   NOT NULL PRIMARY KEY,
    incident        TEXT   NOT NULL REFERENCES incidents (id),
    notifier        TEXT   NOT NULL,
    place           BIGINT NOT NULL, -- the order within one incident and notifier: 1 trigger, 2 resolve
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
CREATE INDEX outbox_pending ON outbox (notifier, next_attempt_at) WHERE state = 'pending';

-- One row that is rewritten to find out whether the store takes anything again after it did not.
CREATE TABLE scratch (
    id   BIGINT NOT NULL PRIMARY KEY,
    body TEXT   NOT NULL
);
