-- What the pages draw without looking at every probe, counted as records come in. Control routes are left out.

CREATE TABLE days (
    service TEXT   NOT NULL,
    day     BIGINT NOT NULL, -- its first instant, in UTC
    probes  BIGINT NOT NULL, -- those that started in it and have a verdict
    failed  BIGINT NOT NULL,
    PRIMARY KEY (service, day)
);
INSERT INTO days (service, day, probes, failed)
    SELECT service, started_at - started_at % 86400000000, COUNT(*),
           SUM(CASE WHEN outcome IN ('delivered', 'unknown') THEN 0 ELSE 1 END)
    FROM probes WHERE direction <> 'control' AND outcome <> 'in_flight' AND started_at >= 0 GROUP BY 1, 2;

-- Quarters of an hour, kept for two days.
CREATE TABLE quarters (
    service   TEXT   NOT NULL, -- empty: all of them together
    region    TEXT   NOT NULL,
    direction TEXT   NOT NULL, -- empty: all of them together
    quarter   BIGINT NOT NULL, -- its first instant
    probes    BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    latencies TEXT   NOT NULL, -- a sketch of those delivered in time
    PRIMARY KEY (service, region, direction, quarter)
);
CREATE INDEX quarters_by_time ON quarters (quarter);

CREATE INDEX incidents_by_end ON incidents (resolved_at);
CREATE INDEX incidents_by_service ON incidents (service, opened_at);

-- Mail that a server took and nobody has seen since.
CREATE INDEX probes_missing ON probes (service, started_at) WHERE accepted = 1 AND visible_at IS NULL;
