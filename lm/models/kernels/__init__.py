"""Matrix products that are faster than torch's, and control of the precision of products."""
