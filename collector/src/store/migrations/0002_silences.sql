-- Windows in which triggers stay mute. The document is the whole silence; the rest is searched by.

CREATE TABLE silences (
    id        TEXT   NOT NULL PRIMARY KEY,
    starts_at BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL,
    document  TEXT   NOT NULL
);
CREATE INDEX silences_by_end ON silences (ends_at);
