"""A folder under changes/ -> ChangePlan -> Lock. The only Jinja2."""
