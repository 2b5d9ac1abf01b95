"""Every limit and time constant of the library, in one place, with its unit in its name.

Limits are part of the interface: what exceeds one is refused with ``TooLarge`` (input) or ``CorruptObject`` (stored
bytes that claim more than a writer may have written). Times are those of the design page, "The protocol".
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# --- names and entries
KEY_BYTES = 1024
NAMESPACE_CHARS = 64
CONTENT_TYPE_BYTES = 256
TAGS = 64
TAGS_BYTES = 16 * KIB

# --- the data model
DATA_ORDINAL = 10**12
"""Highest ordinal that an import or a sync may give; the fold counts on from there."""
DATA_FIELDS_BYTES = 16 * KIB
DATA_FIELDS_DEPTH = 16
DATA_METADATA_BYTES = 256 * KIB
DATA_RENAMES = 16
"""Renamings that a read follows."""
DATA_NUMBER_TRIES = 32
"""Folds that a put which asks for its ordinal at once may take."""

META_BYTES = 128 * KIB
"""Encoded size of the tags, and of all fields that anything may stand in, of one entry."""

# --- contents
INLINE_CONTENT_BYTES = 4 * KIB
"""Contents up to this size travel in the delta."""
PACKED_CONTENT_BYTES = 256 * KIB
"""Contents up to this size share an object when several are written together."""
PACK_TARGET_BYTES = 8 * MIB
PART_BYTES = 16 * MIB
"""Contents above this size are streamed in parts of it."""

# --- log
SEGMENT_DELTAS = 20_000
SEGMENT_RAW_BYTES = 16 * MIB
"""Decoded size of one segment; writers close a batch well before it, decoders refuse more."""
SEGMENT_HEADER_BYTES = 2 * MIB
COMMIT_KEYS_BYTES = 1 * MIB
"""The names of all keys that one update or one commit under a lock reads or writes."""
BATCH_BYTES = 8 * MIB
LANE_FRAME_BYTES = BATCH_BYTES
"""Records of one frame of a lane file, encoded."""
GATHERED_PUTS = 1024
"""Small puts of tasks that are packed together at most: with contents as large as may be inline they fit into a frame."""
LANE_FILE_BYTES = 16 * MIB
"""Size that a lane file is given in advance (it takes room on the disk only where it is written); then a new lane."""
DELTA_BYTES = 1 * MIB
LIST_PAGE = 1000
LIST_PAGES = 1000
READ_RESTARTS = 8
"""How often a read may start again from the root before it gives up."""
SEGMENTS_PER_FETCH = 64
HELP_FOLD_SEGMENTS = 256
"""A process that lists more unfolded segments than this folds once before it goes on."""
LANE_BYTES_PER_SEGMENT = 16 * KIB
"""So much of a lane file costs a reader about as much as one segment that is an object."""
HELP_LANE_BYTES = 32 * MIB
"""A process that has appended so much to lane files folds once before it goes on; or so many records, but then at most
every so many seconds."""
HELP_LANE_RECORDS = 4096
HELP_LANE_PAUSE_S = 10.0
DEEP_LANE_BYTES = 256 * MIB
"""A process of whose own appends more than this waits to be folded folds before it goes on, whoever leads."""
LIST_AFTER_APPEND_ODDS = 64
HELP_EVERY_COMMITS = 32
"""How many commits of its own a process makes in a deep log between two tries to fold it."""

# --- streams and locks
STREAM_NAME_BYTES = 512
STREAM_RECORDS = 10_000
"""Records of one append."""
MISSED_RECORDS = 1000
QUEUE_NAME_BYTES = 1024
QUEUE_CAPACITY = 10_000
QUEUE_RAW_BYTES = 1 * MIB
QUEUE_PURPOSE_BYTES = 1024
QUEUE_WAIT_S = 1e9
QUEUE_BOUND = 1_000_000
TICKET_TTL_S = 10.0
"""A ticket near its turn that gives no sign of life for so long is passed over."""
TICKET_KEEP_MS = 3_600_000
TICKET_RETRY_S = 0.02
TICKET_RETRY_CAP_S = 1.0
TICKET_NOTES = 16
"""Holders that a register notes as granted."""
WATCH_S = 0.5
"""How often those before a waiter are looked at for signs of life."""
HEARTBEAT_PLACES = 3
"""Waiters with at most so many unfinished tickets before their grant heartbeat, as the holders do."""
POLL_MIN_S = 0.05
LOCAL_POLL_MIN_S = 0.005
LOCAL_POLL_MAX_S = 0.05
LOCAL_REGISTER_S = 0.2
LOCAL_TICKETS_KEPT = 32
FENCE_RETRY_BASE_S = 0.02
FENCE_RETRY_CAP_S = 1.0
FOLLOW_MIN_S = 0.05
FOLLOW_MAX_S = 1.0
UPDATE_ATTEMPTS = 100

# --- root and manifest
ROOT_RAW_BYTES = 64 * MIB
ROOT_PLAIN_BYTES = 256 * KIB
"""Decoded size up to which a root is decoded as it is; of a larger one its items are counted first."""
ROOT_FREE_ITEMS = 150_000
"""Items (runs, packs, watermarks, garbage ...) of a root of any size; a stored item takes several bytes beyond that."""
ROOT_STORED_PER_ITEM = 4
INLINE_LEVEL0_BYTES = 256 * KIB
LEVEL0_RUNS = 4
"""Level-0 objects at which a merge is due."""
MIDDLE_FREE_BYTES = 16 * MIB
"""Level 0 is merged into shards of up to this size together, however little it holds."""
MIDDLE_SHARE = 8
"""Level 0 is merged into larger ones when it holds one byte for so many of theirs; until then within itself."""
MIDDLE_UNIT_BYTES = 1 * MIB
BLOCK_RAW_BYTES = 256 * KIB
"""A block is closed at this decoded size; about 64 KB compressed for index entries."""
BLOCK_MAX_RAW_BYTES = 4 * MIB
BLOCK_PLAIN_BYTES = 512 * KIB
"""Decoded size up to which a block is decoded as it is; of a larger one the items of its columns are counted first."""
INDEX_MAX_RAW_BYTES = 16 * MIB
INDEX_BLOCKS = 100_000
"""Blocks of one run."""
SHARD_TARGET_MIN_BYTES = 4 * MIB
SHARD_TARGET_MAX_BYTES = 32 * MIB
SHARD_TARGET_DIVISOR = 64
NONCES = 16
SHARED_LANES = 8
SHARED_LANE_MEMORY = 1024
LANE_MEMORY_SLOTS = 1024
QUARANTINE = 1000
ROOT_CAS_TRIES = 10
SETTINGS_BYTES = 64 * KIB

# --- record classes
INLINE_EPHEMERAL_BYTES = 64 * KIB
"""Ephemeral records that wait in the root before they are joined into runs of their own."""
EPHEMERAL_RUN_BYTES = 1 * MIB
"""Stored size of a run of ephemeral records; a join rewrites those that a change falls into."""
EPHEMERAL_TTL_MS = 24 * 3_600_000
"""How long an ephemeral entry lives whose writer does not say."""
EPHEMERAL_TTL_MAX_MS = 30 * 24 * 3_600_000
EPHEMERAL_TIDY_MS = 3_600_000
"""Expired entries leave the runs of ephemeral records this long after their time, at the latest by the next fold."""
CLASS_RULES = 256
INLINE_AUDIT_BYTES = 12 * KIB
"""Audit records that wait in the root before they become an archive."""
AUDIT_FRESH_FILES = 8
"""Archives of mixed topics at which they are sorted into archives of one topic and time each."""
AUDIT_FILE_BYTES = 32 * MIB
AUDIT_RECORD_BYTES = 256 * KIB
AUDIT_TOPIC_BYTES = 256
AUDIT_PAST_DAYS = 400
"""Audit records older than this when they arrive share one partition, whatever day they name."""
AUDIT_FUTURE_DAYS = 2
AUDIT_REACH_S = 2.0
"""How long a write of audit records waits for the store before they go to the spool."""
AUDIT_PROBE_S = 1.0
"""How often a process whose records wait in the spool looks whether the store is back."""
AUDIT_PAGE_RECORDS = 10_000
AUDIT_PAGE_BYTES = 16 * MIB
"""What one answer of a read from a position holds at most (and at least one record)."""
SPOOL_BYTES = 256 * MIB
"""What may wait on this machine for one namespace of one store."""
SPOOL_BUNDLES = 100_000
"""Writes that may wait there, each a file."""

# --- time
DELETE_GRACE_MS = 30_000
STORE_TIME_GRAIN_MS = 1_000
"""Store times may be cut to whole seconds: every comparison of two of them allows this much."""
LANE_TAIL_AGE_S = 20.0
"""A shared lane's slot is created, and its answer believed, only so long after the list it follows began."""
LEADER_TTL_MS = 15_000
SHARD_GRACE_MS = 3_600_000
CONTENT_GRACE_MS = 24 * 3_600_000
ORPHAN_AGE_MS = 24 * 3_600_000
TOMBSTONE_AGE_MS = 48 * 3_600_000
CONTENT_CARRY_AGE_S = 3600.0
"""A location that was read in an entry may be named by a new delta for so long."""
CONTENT_UPLOAD_AGE_S = 12 * 3600.0
"""A delta is not appended when a content it names was uploaded longer ago."""
SHARD_UPLOAD_AGE_S = 6 * 3600.0
CLOCK_OFF_MS = 5 * 60_000
WRITER_FIRST_ACK_S = 300.0
WRITER_LIFE_S = 24 * 3600.0
WRITER_IDLE_S = 1800.0
RETIRE_FLOOR_LAG_MS = 3_600_000
RETIRE_AGE_MS = 25 * 3_600_000
PIN_TTL_MS = 15 * 60_000

# --- caches
SEGMENT_CACHE_BYTES = 64 * MIB
BLOCK_CACHE_BYTES = 64 * MIB
INDEX_CACHE_BYTES = 64 * MIB
CACHE_IDLE_S = 600.0
"""What nobody asked for in so long is forgotten: most of it was folded or replaced since."""
