"""The code for conf/: schemas, rules, building objects from settings, trust."""
