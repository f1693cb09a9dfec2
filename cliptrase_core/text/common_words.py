"""Common words for what photographs show, written by hand."""

from __future__ import annotations

_WORDS = """
person, face, baby, crowd, dog, cat, horse, cow, sheep, goat, pig, bear, elephant, zebra, giraffe, lion, tiger,
monkey, deer, rabbit, squirrel, fox, mouse, bird, duck, chicken, owl, parrot, fish, shark, turtle, frog, snake,
lizard, spider, butterfly, bee, insect, crab, snail,
sky, cloud, sun, moon, grass, tree, forest, leaf, bush, flower, plant, water, sea, river, waterfall, sand,
rock, mountain, hill, snow, ice,
ground, mud, field, path, road, sidewalk, railway, bridge, fence, wall, building, house, tower, castle,
church, roof, window, door, stairs, column, statue, fountain, tent, sign, traffic light, street lamp, bench, flag,
car, truck, bus, train, airplane, helicopter, boat, ship, bicycle, motorcycle, tractor, wheel,
floor, ceiling, carpet, curtain, table, chair, sofa, bed, pillow, blanket, cabinet, shelf, desk, lamp, mirror,
picture, clock, vase, sink, toilet, bathtub, shower, stove, oven, refrigerator, television, laptop, keyboard, phone,
camera, book, paper, pen, box, basket, bag, suitcase, umbrella, bottle, glass, cup, plate, bowl, spoon, fork, knife,
pan, candle, toy, teddy bear, ball, balloon, guitar, piano, drum, violin,
shirt, dress, jacket, trousers, shoe, hat, glasses, tie, glove, helmet, skateboard, skis, surfboard, kite, racket,
food, bread, cake, pizza, sandwich, meat, cheese, egg, rice, soup, salad, fruit, apple, banana, orange, lemon,
strawberry, grapes, tomato, carrot, potato, vegetable, mushroom, ice cream, chocolate, coffee, wood, metal,
tool, machine, rope, net
"""

COMMON_WORDS = tuple(word.strip() for word in _WORDS.replace("\n", " ").split(","))
"""Words without synonyms: candidates for suggestions, and rivals of words that a picture may lack."""
