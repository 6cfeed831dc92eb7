# What more nodes bring, and what their control costs (simulated; kvsim growth): two plots. Called with
#   lines = "ring central": a file growth-NAME.tsv each, with nodes, ops/s, control bytes a second of a node: mean, busiest.
# Read without colour: ring is dark, solid and filled, central lighter, dashed and hollow; the busiest node is a triangle.
set datafile separator "\t"
set datafile missing NaN
array MARK[3] = [7, 4, 6]
array BUSIEST[3] = [9, 8, 10]
array COLOUR[3] = ['#1f5f8b', '#d97706', '#909090']

commas(x) = x < 1000 ? sprintf('%d', x) : commas(floor(x / 1000)).sprintf(',%03d', x - 1000 * floor(x / 1000))

set border 3
set tics nomirror
set logscale xy
set grid lc rgb '#c0c0c0' lw 0.5
set key above left reverse Left width -2 samplen 3 maxrows 2
set tmargin 5.5
set xlabel 'nodes'
set xtics (3, 5, 10, 20, 50, 100, 300, '1,000' 1000)
set xrange [2.5:*]
set autoscale yfix
set offsets graph 0, graph 0.03, graph 0.06, graph 0.06
do for [pass = 1:2] {
    if (pass == 1) {
        set terminal svg size 480,420 font 'sans-serif,14' background 'white' dynamic
    } else {
        set terminal pngcairo size 480,420 font 'sans,10' background 'white'
    }
    suffix = pass == 1 ? '.svg' : '.png'

    set output 'growth-operations'.suffix
    set title 'operations a second'
    set ytics ()
    do for [tens = 0:8] { do for [digit in '1 2 5'] { set ytics add (commas(digit * 10 ** tens) digit * 10 ** tens) } }
    plot for [i = 1:words(lines)] 'growth-'.word(lines, i).'.tsv' using 1:($2 > 0 ? $2 : NaN) with linespoints \
        lw 2 dt i pt MARK[i] ps 1 lc rgb COLOUR[i] title word(lines, i)

    set output 'growth-control'.suffix
    set title 'control traffic of a node, bytes a second'
    set ytics ()
    do for [tens = 0:8] { set ytics add (commas(10 ** tens) 10 ** tens) }
    plot for [i = 1:words(lines)] 'growth-'.word(lines, i).'.tsv' using 1:($3 > 0 ? $3 : NaN) with linespoints \
            lw 2 dt i pt MARK[i] ps 1 lc rgb COLOUR[i] title word(lines, i).', mean', \
         for [i = 1:words(lines)] 'growth-'.word(lines, i).'.tsv' using 1:($4 > 0 ? $4 : NaN) with linespoints \
            lw 1.5 dt i pt BUSIEST[i] ps 1 lc rgb COLOUR[i] title word(lines, i).', busiest'
    unset output
}
