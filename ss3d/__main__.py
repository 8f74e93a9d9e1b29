"""`python -m ss3d` is `ss3d`."""

from ss3d.cli.main import run

if __name__ == "__main__":
    run()
