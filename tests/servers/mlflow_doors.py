"""Print every route of MLflow's server, as it is installed, in JSON: [method, path] each."""

import json
import re
import sys

from mlflow.server import app as flask_app
from mlflow.server.fastapi_app import create_fastapi_app

# FastAPI's routers shadow Flask's; either may lack a route that the other has.
doors = {
    (method.upper(), path)
    for path, methods in create_fastapi_app(flask_app).openapi()["paths"].items()
    for method in methods
}
for rule in flask_app.url_map.iter_rules():
    doors |= {(method, str(rule)) for method in rule.methods - {"HEAD", "OPTIONS"}}
numbered = {(method, re.sub(r"<[^>]*>|{[^}]*}", "1", path)) for method, path in doors}
sys.stdout.write(json.dumps(sorted(numbered)))
