<?php
const BLOG_RELEASE = '1';
if (!defined('BLOG_HEALTH')) {
    header('X-Release: ' . BLOG_RELEASE);
    add_action('wp_footer', fn() => print('<p>Release ' . BLOG_RELEASE . '</p>'));
}
