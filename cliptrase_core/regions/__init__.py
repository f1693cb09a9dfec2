"""Labels of pixels from patches: denoising, clustering, upsampling, the vote of each region."""
