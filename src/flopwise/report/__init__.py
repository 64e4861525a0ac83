"""What a run says about itself: views while it runs, summary and report afterwards."""
