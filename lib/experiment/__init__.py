"""The paper's experiment on any cohort: every arm from the same folds, the controls that the paper lacks, one report."""
