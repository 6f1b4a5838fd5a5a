"""The domain: classes, geometry, lesions, ROIs, cohorts, snapshots and splits. Needs numpy and scipy, nothing else."""
