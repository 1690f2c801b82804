"""What all end-to-end tests share with pytest."""


def pytest_configure(config):
    config.addinivalue_line("markers", "untimed: nothing in the module depends on how fast it runs, so scripts/test runs it beside others")
