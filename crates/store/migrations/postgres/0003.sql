-- Between which times (in milliseconds) the items of each block of rows in `search_items` were recorded: a search within
-- times looks at the blocks that may have some. A block is the number of a row divided by 512. Programs that do not know
-- of this take an index that has it for one of another format, and add nothing to it.
CREATE TABLE turnwise.search_times (
    tenant text COLLATE "C" NOT NULL,
    block  bigint NOT NULL,
    oldest bigint NOT NULL,
    newest bigint NOT NULL,
    PRIMARY KEY (tenant, block)
);

-- How each pair of metadata begins, to find the conversations that have a value. An index has no room for long ones.
ALTER TABLE turnwise.search_conversations ADD COLUMN beginnings text[] NOT NULL DEFAULT '{}';
ALTER TABLE turnwise.search_conversations ALTER COLUMN beginnings SET STATISTICS 0;
CREATE INDEX search_conversations_by_metadata ON turnwise.search_conversations USING gin (beginnings);
