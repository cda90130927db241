-- One model decides, and its changes are read in pages.
CREATE UNIQUE INDEX model_in_force ON model (state) WHERE state = 3;
CREATE INDEX model_change_page ON model_change (model_row, change_row);
