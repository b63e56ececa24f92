-- Whose it is: the name of the key by which it was made, and nothing where no key was asked for.
ALTER TABLE responses ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN holder TEXT NOT NULL DEFAULT '';
