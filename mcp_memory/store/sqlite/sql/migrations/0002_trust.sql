-- Folders, besides the one next to the file, that hold backups of it: what is forgotten is forgotten there too.
CREATE TABLE backup_folders (
    path TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- 1 when retention or a forgetting took away revisions that the change wrote: it can no longer be undone.
ALTER TABLE changes ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;

-- Tells backups of this file from those of others with the same name: the ids of all files that have become this one.
INSERT INTO settings (name, value) VALUES ('file_id', lower(hex(randomblob(8))));
