-- Once, on the primary; the replica has it from there.
CREATE ROLE veer LOGIN PASSWORD 'change-me' CONNECTION LIMIT 20;
GRANT pg_monitor TO veer;
CREATE TABLE heartbeat (one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz);
INSERT INTO heartbeat (at) VALUES (now());
