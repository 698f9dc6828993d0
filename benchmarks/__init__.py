"""What reading, following, waiting and scraping cost, next to grep, mtail and a json.loads loop. `make bench`."""
