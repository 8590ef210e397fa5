"""gunicorn for an app whose file system cannot be written."""

bind = "0.0.0.0:8000"
workers = 2
threads = 8
graceful_timeout = 30
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
