-- Folders, besides the one next to the file, that hold backups of it: what is forgotten is forgotten there too.
CREATE TABLE backup_folders (
    path TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- 1 when retention or a forgetting took away revisions that the change wrote: it can no longer be undone.
ALTER TABLE changes ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
