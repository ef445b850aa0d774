-- Statements as they were issued; a revision is never changed. The document is the whole of it.

CREATE TABLE statements (
    contract  TEXT   NOT NULL,
    service   TEXT   NOT NULL,
    period    TEXT   NOT NULL,
    revision  BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    sha256    TEXT   NOT NULL,
    document  TEXT   NOT NULL,
    PRIMARY KEY (contract, service, period, revision)
);
