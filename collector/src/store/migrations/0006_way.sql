-- More of a probe's way, for those who decide. NULL in rows that were written before.

ALTER TABLE probes ADD COLUMN accepted_at BIGINT; -- on our clock
ALTER TABLE probes ADD COLUMN deferred_at BIGINT; -- when a server first put it off, on our clock
ALTER TABLE probes ADD COLUMN address TEXT;       -- the address the peer was spoken to at
ALTER TABLE probes ADD COLUMN site TEXT;          -- the site of the servers that handled it

-- How much accepted mail of an incident is missing, so that late arrivals find it after its end.
ALTER TABLE incidents ADD COLUMN missing BIGINT NOT NULL DEFAULT 0;
CREATE INDEX incidents_missing ON incidents (opened_at) WHERE missing > 0 AND state = 'resolved';
