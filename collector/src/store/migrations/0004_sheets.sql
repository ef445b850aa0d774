-- What probes amount to, packed for counting: one row for an hour of one lane. It is kept in the same
-- transaction as the probe's row, and can be made anew from `probes`. See `store/mark.rs` for the body.

CREATE TABLE sheets (
    service   TEXT   NOT NULL,
    hour      BIGINT NOT NULL, -- hours since 1970 in which the probes started, on our clock
    agent     TEXT   NOT NULL,
    region    TEXT   NOT NULL,
    route     TEXT   NOT NULL,
    direction TEXT   NOT NULL,
    door      TEXT   NOT NULL,
    reference TEXT   NOT NULL, -- empty where there is none
    body      BLOB   NOT NULL,
    PRIMARY KEY (service, hour, agent, route, region, direction, door, reference)
);
CREATE INDEX sheets_of_controls ON sheets (hour) WHERE direction = 'control';
CREATE INDEX sheets_by_hour ON sheets (hour);
