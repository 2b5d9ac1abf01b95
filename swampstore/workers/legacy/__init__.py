"""Reading the layout that this datastore replaces: its index, its rules, its locks. The source is never changed."""
