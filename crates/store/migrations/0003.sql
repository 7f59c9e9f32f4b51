-- Which conversation a log belongs to, and what a fork has of its original's usage, also after one of the two
-- was written anew: that gives it another log, without the parent of the old one.
ALTER TABLE logs ADD COLUMN line INTEGER;      -- the first log of the same conversation, if this is a later one
ALTER TABLE logs ADD COLUMN origin INTEGER;    -- of a fork that was written anew: the line of its original
ALTER TABLE logs ADD COLUMN inherited TEXT;    -- and what that had spent when it was forked, as a change
CREATE INDEX logs_by_line ON logs (tenant, line) WHERE line IS NOT NULL;
