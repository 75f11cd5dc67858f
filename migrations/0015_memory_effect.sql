-- Rename the type of a resolved memory effect and its attributes. The functions that use it are applied in the same transaction.
-- min_code: 1

alter type wish rename to memory_effect;

-- the memory that the effect creates, updates or repeats; `memory_id` is the id that a new memory would have
alter type memory_effect rename attribute id to target_id;

-- the memory that the effect superseded
alter type memory_effect rename attribute ended to superseded_id;

-- the target before this batch; null if it is new
alter type memory_effect rename attribute held_version to current_version;

alter type memory_effect rename attribute held_content_seq to current_content_seq;

alter type memory_effect rename attribute held_at to current_ctid;

-- among the effects of a batch with the same target: how many write a version, and how many there are
alter type memory_effect rename attribute versions to version_count;

alter type memory_effect rename attribute said to total;
