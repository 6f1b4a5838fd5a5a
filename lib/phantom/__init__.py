"""Simulated portal-venous liver CT with lesions. A result on it says nothing about patients."""
