ALTER TABLE switches ADD COLUMN note text NOT NULL DEFAULT '' CONSTRAINT switches_note_length CHECK (length(note) <= 255);
