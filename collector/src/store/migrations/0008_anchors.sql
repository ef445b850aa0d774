-- The days of evidence whose heads were told to somebody outside. A row is never changed.

CREATE TABLE anchors (
    contract    TEXT   NOT NULL,
    service     TEXT   NOT NULL,
    day         TEXT   NOT NULL, -- its date by the contract's time zone, as 2026-11-03
    head_before TEXT   NOT NULL,
    hash        TEXT   NOT NULL, -- of the day's file
    head        TEXT   NOT NULL,
    anchored_at BIGINT NOT NULL,
    PRIMARY KEY (contract, service, day)
);
