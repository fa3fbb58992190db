# SPDX-License-Identifier: GPL-2.0
# Takes a watch off its list that is off it already, and so releases it twice.
# File: watch/list.rs
# Found by: object_dies_while_it_is_posted_to_and_its_queue_is_closed: a watch was used after it was freed
s/if unsafe { (\*node).pprev }\.is_null() {/if false {/
