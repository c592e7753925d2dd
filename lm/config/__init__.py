"""conf/ on the side of the code: schemas, rules, objects from settings, trust."""
