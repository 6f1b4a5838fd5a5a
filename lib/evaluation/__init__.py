"""Metrics, calibration and cross-validation."""
